/* trainer/nn/linear.h - y = x W^T + b, weights [out, in] as in torch.
 *
 * Forward is a product whose rows have the same bits in any company (trainer/nn/steady.h): a
 * sample's features do not depend on the batch around it. dx takes
 * the faster of that product and BLAS, dW goes through BLAS.
 *
 * Calls: Local. The row functions run on the calling thread, for the rows they are given; the
 * th_*_share functions are called by every thread of an OpenMP team and each does its part. */
#ifndef TH_TRAINER_NN_LINEAR_H
#define TH_TRAINER_NN_LINEAR_H

#include "trainer/nn/real.h"
#include <stdbool.h>

/* y [rows, out] = x [rows, in] W^T + b + residual. bias [out] and residual [rows, out] may be NULL;
 * residual may be y itself. */
void th_linear(const th_real *x, int64_t rows, int64_t in, int64_t out, const th_real *weight,
               const th_real *bias, const th_real *residual, th_real *y);

/* dx [rows, in] = dy [rows, out] W. */
void th_linear_backward_input(const th_real *dy, int64_t rows, int64_t in, int64_t out,
                              const th_real *weight, th_real *dx);

/* dW [out, in] = dy^T x over all rows; add: += . */
void th_linear_backward_weight_share(const th_real *dy, const th_real *x, int64_t rows, int64_t in,
                                     int64_t out, bool add, th_real *d_weight);

/* out [columns] = the sum of rows [rows, columns], top to bottom. */
void th_sum_rows(const th_real *x, int64_t rows, int64_t columns, th_real *out);

/* d_bias [columns] = the sum of per-unit sums [units, columns], in order; add: +=. d_bias may be
 * NULL: not trainable. */
void th_fold_share(const th_real *sums, int64_t units, int64_t columns, bool add, th_real *d_bias);

#endif
