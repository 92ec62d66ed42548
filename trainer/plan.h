/* trainer/plan.h - how a rank batch is cut into micro-batches under a memory budget.
 *
 * Gradient cache (Gao et al. 2021, arXiv:2101.06983): features of all micro-batches are computed
 * first, the loss gives their gradients, then each micro-batch is differentiated. The activations
 * (tapes) of the last `keep` micro-batches stay from forward to backward; the others are computed
 * again. What is kept does not change the result, only the time. */
#ifndef TH_TRAINER_PLAN_H
#define TH_TRAINER_PLAN_H

#include "trainer/towers/tower.h"

/* Cost of one tower's pass over samples [first, first + n) of the rank batch. */
typedef struct {
    void (*bytes)(const void *context, int64_t first, int64_t n, size_t *out_tape,
                  size_t *out_scratch);
    const void *context;
    bool        trains; // false: nothing is kept and nothing differentiated
} th_pass_cost;

typedef struct {
    int64_t micro;      // samples of a micro-batch; the last one may be shorter
    int64_t count;      // micro-batches
    int64_t keep;       // of them, the last ones, whose tapes stay
    size_t  peak_bytes; // most of the arena that a step uses, both towers together
} th_pass_plan;

/* Plans both towers for a rank batch of b samples, image first in forward. micro = 0 chooses the
 * largest that fits. b = 0 gives no micro-batches. The plan is a pure function of its arguments.
 * Errors: TH_EUSAGE when not even micro-batches of one sample fit, saying what they need. Local. */
TH_MUST_CHECK th_code th_plan_passes(const th_pass_cost cost[2], int64_t b, int64_t micro,
                                     size_t budget_bytes, th_pass_plan out[2], th_err *err);

#endif
