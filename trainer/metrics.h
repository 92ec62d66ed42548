/* trainer/metrics.h - metrics.jsonl: what the run computed, one JSON object a line.
 *
 * The source of truth of a run, so it holds nothing that differs between two runs of the same work:
 * no times, no speeds (these are in timings.jsonl). On resume it is cut back to the length that the
 * checkpoint remembers, so the file looks like that of one run, byte for byte. While the
 * disk is full lines wait in memory: training goes on, and none is lost. Rank 0 only. */
#ifndef TH_TRAINER_METRICS_H
#define TH_TRAINER_METRICS_H

#include "base/error.h"
#include "trainer/run.h"
#include <stdint.h>

typedef struct th_metrics th_metrics;

/* Opens <folder>/metrics.jsonl and timings.jsonl and cuts metrics.jsonl to `bytes` (0: a new run).
 * Errors: TH_EDATA when the file is shorter than that, TH_EIO. */
TH_MUST_CHECK th_code th_metrics_open(const char *folder, int64_t bytes, th_metrics **out,
                                      th_err *err);
void                  th_metrics_close(th_metrics *metrics); // accepts NULL

/* One line a step: step, samples_seen, th_step_scalars, train/lr/groups where rates differ, and
 * train/skipped when the step was. Errors: TH_EIO when memory is out; a disk that is full is an
 * alarm in the log. */
TH_MUST_CHECK th_code th_metrics_step(th_metrics *metrics, const th_step_report *report,
                                      th_err *err);
TH_MUST_CHECK th_code th_metrics_eval(th_metrics *metrics, const th_eval_report *report,
                                      th_err *err);

TH_MUST_CHECK th_code th_metrics_event(th_metrics *metrics, const th_stage_event *event,
                                       th_err *err);

/* Length of metrics.jsonl with the lines that still wait. */
int64_t th_metrics_bytes(const th_metrics *metrics);

/* Puts every line on disk. Safe in the checkpoint writer's thread beside a step. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_metrics_flush(th_metrics *metrics, th_err *err);

#endif
