/* trainer/nn/layernorm.h - layer normalisation over a row (Ba et al. 2016, arXiv:1607.06450).
 *
 *     y = (x - mean) rstd gamma + beta,   rstd = 1 / sqrt(variance + eps)
 *
 * as torch.nn.LayerNorm. eps is 1e-5 in CLIP and 1e-12 in BERT. Each function works on `rows` rows
 * of `width`, on the calling thread. Calls: Local; any thread. */
#ifndef TH_TRAINER_NN_LAYERNORM_H
#define TH_TRAINER_NN_LAYERNORM_H

#include "trainer/nn/real.h"

#define TH_CLIP_EPS 1e-5
#define TH_BERT_EPS 1e-12

/* y may be x. mean and rstd [rows] are kept for backward; both may be NULL. */
void th_layernorm(const th_real *x, int64_t rows, int64_t width, const th_real *gamma,
                  const th_real *beta, double eps, th_real *y, th_real *mean, th_real *rstd);

/* y once more, from the statistics that were kept. */
void th_layernorm_again(const th_real *x, int64_t rows, int64_t width, const th_real *gamma,
                        const th_real *beta, const th_real *mean, const th_real *rstd, th_real *y);

/* dx [rows, width] = what dy means for x, plus residual [rows, width] (may be NULL). dx may be dy
 * or residual. sum_gamma, sum_beta [width]: the sums over these rows, overwritten; may be NULL. */
void th_layernorm_backward(const th_real *dy, const th_real *x, int64_t rows, int64_t width,
                           const th_real *gamma, const th_real *mean, const th_real *rstd,
                           const th_real *residual, th_real *dx, th_real *sum_gamma,
                           th_real *sum_beta);

#endif
