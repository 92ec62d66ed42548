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
    double  best;  // of the plateau's metric
    bool    seen;  // best is set
    int64_t since; // values since the best one
    bool    fell;  // the condition has held
} th_trigger;

/* Lays out the limits of a stage of at most `steps` steps (th_stage_steps) and leaves the state.
 * Errors: TH_EUSAGE (until.min is no span of steps). Local. */
TH_MUST_CHECK th_code th_trigger_limits(const th_stage *stage, int64_t records, int64_t steps,
                                        th_trigger *out, th_err *err);

/* A metric (trainer/scalars) has a new value. One that is not finite is never better and crosses no
 * threshold. Local.
 */
void th_trigger_see(th_trigger *trigger, const char *metric, double value);

/* Has the stage ended, when `step` of its steps are done? Local. */
bool th_trigger_ended(const th_trigger *trigger, int64_t step);

#endif
