/* launch/plan_report.h - what `thaw plan` has found, for people and as JSON. */
#ifndef TH_LAUNCH_PLAN_REPORT_H
#define TH_LAUNCH_PLAN_REPORT_H

#include "trainer/forecast.h"
#include <stdio.h>

#define TH_PLAN_NOTES 16

typedef struct {
    bool fatal; // the run would stop there
    char what[512], fix[160];
} th_plan_note;

typedef struct {
    const char        *run_file, *folder;
    const th_schedule *schedule;
    const th_forecast *forecast;
    int                ranks, threads;
    bool               begun, probed;
    int64_t            checkpoint_bytes, checkpoints; // the largest, and how many stand at once
    int64_t            cache_bytes;                   // of all caches
    uint64_t           run_free, cache_free;          // of the disks they are on; 0: unknown
    double             seconds, now; // of what is left, at most, when probed; since 1970
    bool               open_ended;   // a stage has no known end: seconds count its earliest
    th_plan_note       notes[TH_PLAN_NOTES];
    int                note_count;
} th_plan_report;

/* Adds a note; what does not fit is dropped. */
void th_plan_note_add(th_plan_report *report, bool fatal, const char *fix, const char *what, ...)
    TH_PRINTF(4, 5);

void th_plan_print(const th_plan_report *report, FILE *to);

/* One JSON object. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_plan_print_json(const th_plan_report *report, FILE *to, th_err *err);

#endif
