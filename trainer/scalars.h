/* trainer/scalars.h - the numbers of metrics.jsonl: each a row with its name and where it stands.
 *
 * What writes the lines and what ends a stage on a metric are loops over these rows, so a trigger
 * knows every number that is written. */
#ifndef TH_TRAINER_SCALARS_H
#define TH_TRAINER_SCALARS_H

#include "trainer/run.h"

typedef struct {
    const char *name;   // in metrics.jsonl
    size_t      offset; // of a double in the report
    bool        less;   // less is better
    int         tower;  // only in the lines of steps in which this tower trains; -1: in all
} th_scalar;

extern const th_scalar th_step_scalars[]; // of a th_step_report
extern const int       th_step_scalar_count;
extern const th_scalar th_eval_scalars[]; // of a th_eval_report
extern const int       th_eval_scalar_count;

/* The row of that name, of either table; NULL when there is none. */
const th_scalar *th_scalar_find(const char *name);

/* The number in a step's report; false when that step has none. */
bool th_step_scalar(const th_scalar *scalar, const th_step_report *report, double *out);

double th_eval_scalar(const th_scalar *scalar, const th_eval_report *report);

#endif
