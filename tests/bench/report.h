/* tests/bench/report.h - one benchmark result as a JSON line, with what it ran on. */
#ifndef TH_TESTS_BENCH_REPORT_H
#define TH_TESTS_BENCH_REPORT_H

#include <stdint.h>

/* Starts a line: benchmark, machine, cores, flavour and core of OpenBLAS, compiler. */
void th_report_begin(const char *benchmark);
void th_report_text(const char *name, const char *value);
void th_report_number(const char *name, double value);
/* Ends it with the peak memory of this process. */
void th_report_end(void);

/* Seconds of the monotonic clock. */
double th_bench_now(void);

/* Seconds of processor time of all threads of this process: a neighbour on the machine disturbs
 * them less than the clock's. */
double th_bench_processor(void);

/* Median of n numbers, which are sorted in place. */
double th_bench_median(double *values, int n);

#endif
