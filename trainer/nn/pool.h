/* trainer/nn/pool.h - the mean of a sequence's rows, and its gradient.
 *
 * Sequence s is rows first[s] .. first[s + 1] - 1, at least one. A mean is added up from the first
 * row to the last: its bits follow from the sequence alone.
 *
 * Calls: Local; called by every thread of an OpenMP team, each does its part. They do not wait for
 * each other. */
#ifndef TH_TRAINER_NN_POOL_H
#define TH_TRAINER_NN_POOL_H

#include "trainer/nn/real.h"

/* y [n, width] = the means of x's rows. */
void th_mean_share(const th_real *x, const int64_t *first, int64_t n, int64_t width, th_real *y);

/* dx [first[n], width]: what dy [n, width] means for each row; overwritten. */
void th_mean_backward_share(const th_real *dy, const int64_t *first, int64_t n, int64_t width,
                            th_real *dx);

#endif
