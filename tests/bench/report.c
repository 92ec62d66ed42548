#include "tests/bench/report.h"

#include "trainer/nn/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void print_processor(char *out, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char  line[512];

    (void)snprintf(out, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value[strcspn(value, "\n")] = '\0';
        (void)snprintf(out, size, "%s", value + 2);
        break;
    }
    if (file)
        (void)fclose(file);
}

void th_report_begin(const char *benchmark)
{
    char processor[256];

    print_processor(processor, sizeof processor);
    printf("{\"benchmark\": \"%s\"", benchmark);
    th_report_text("machine", processor);
    th_report_number("cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    th_report_text("openblas_core", th_gemm_core());
    th_report_text("compiler", "gcc " __VERSION__);
}

void th_report_text(const char *name, const char *value)
{
    printf(", \"%s\": \"", name);
    for (; *value; value++)
        printf(*value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    printf("\"");
}

void th_report_number(const char *name, double value)
{
    printf(", \"%s\": %.6g", name, value);
}

void th_report_end(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        th_report_number("peak_memory_mib", (double)usage.ru_maxrss / 1024);
    printf("}\n");
    (void)fflush(stdout);
}

static double seconds_of(clockid_t clock)
{
    struct timespec time;

    (void)clock_gettime(clock, &time); // cannot fail with these clocks
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double th_bench_now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double th_bench_processor(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double th_bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}
