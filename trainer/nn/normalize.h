/* trainer/nn/normalize.h - features: rows scaled to length 1.
 *
 *     y = x / max(|x|, 1e-12),   as torch.nn.functional.normalize
 *
 * Calls: Local; one thread, which opens an OpenMP region. */
#ifndef TH_TRAINER_NN_NORMALIZE_H
#define TH_TRAINER_NN_NORMALIZE_H

#include "trainer/nn/real.h"

/* x, y [n, d]; y may be x. norm [n] = max(|x|, 1e-12), for backward. */
void th_normalize_rows(const th_real *x, int64_t n, int64_t d, th_real *y, th_real *norm);

/* dx = (dy - y <y, dy>) / norm; a row at the floor of 1e-12 is only scaled. dx may be dy. */
void th_normalize_rows_backward(const th_real *y, const th_real *norm, const th_real *dy, int64_t n,
                                int64_t d, th_real *dx);

#endif
