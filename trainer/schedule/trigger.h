/* trainer/schedule/trigger.h - when a stage ends: after so many steps, on a plateau, at a
 * threshold.
 *
 * A trigger sees the metrics of the run and nothing else, so it falls at the same step in every run
 * of the same work. Its state goes into each checkpoint as JSON. */
#ifndef TH_TRAINER_SCHEDULE_TRIGGER_H
#define TH_TRAINER_SCHEDULE_TRIGGER_H

#include "trainer/schedule/stage.h"

typedef struct {
    int64_t     least, most;      // steps; most 0: no limit
    const char *plateau, *metric; // borrowed from the stage
    double      below, above, min_delta;
    int64_t     patience;
    /* state */
    double  best;  // of the plateau's metric; smaller is better for losses and ranks, else larger
    bool    seen;  // best is set
    int64_t since; // values since the best one
    bool    fell;  // the condition has held
} th_trigger;

/* Errors: TH_EUSAGE (th_stage_steps). Local. */
TH_MUST_CHECK th_code th_trigger_init(const th_stage *stage, const th_parameters *parameters,
                                      int64_t records, th_trigger *out, th_err *err);

/* A metric has a new value. NaN never counts as better. Local. */
void th_trigger_see(th_trigger *trigger, const char *metric, double value);

/* Has the stage ended, when `step` of its steps are done? Local. */
bool th_trigger_ended(const th_trigger *trigger, int64_t step);

#endif
