/* trainer/optim/rate.h - the learning rate of a step. */
#ifndef TH_TRAINER_OPTIM_RATE_H
#define TH_TRAINER_OPTIM_RATE_H

#include "base/option.h"
#include "trainer/parameters.h"

typedef enum { TH_RATE_CONSTANT, TH_RATE_COSINE, TH_RATE_LINEAR } th_rate_shape;

typedef struct {
    double        peak;
    double        floor;  // where cosine and linear end
    int64_t       warmup; // steps of linear warm-up: step t of it has peak * (t + 1) / warmup
    int64_t       total;  // steps in all
    th_rate_shape shape;
} th_rate;

/* Rate of step t, 0 <= t; from `total` on it is the last one's. As open_clip's cosine_lr. Local. */
double th_rate_at(const th_rate *rate, int64_t step);

/* factor[row_count]: what the patterns of `lr:` (th_parameters_match) make of the rate, last match
 * wins: "16x" is 16, an amount is amount / peak. Errors: TH_EUSAGE when a pattern selects no row,
 * with the nearest group name. */
TH_MUST_CHECK th_code th_rate_factors(const th_parameters *parameters, const th_map *patterns,
                                      double peak, double *factor, th_err *err);

#endif
