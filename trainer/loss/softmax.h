/* trainer/loss/softmax.h - the elementwise work on one tile of similarities, while it is in cache.
 *
 * A tile is [rows, columns], columns fastest and without padding. Rows and columns both have a
 * softmax; each keeps a running maximum and, in double, the sum of exp(scale (x - maximum)). NaN
 * comes through in the sums; the maxima pass over it. Local, any thread. */
#ifndef TH_TRAINER_LOSS_SOFTMAX_H
#define TH_TRAINER_LOSS_SOFTMAX_H

#include "trainer/nn/real.h"

/* row_max[i] = max(row_max[i], row i of the tile); column_max[j] likewise. */
void th_softmax_max(const th_real *tile, int64_t rows, int64_t columns, th_real *row_max,
                    th_real *column_max);

/* row_sum[i] += sum_j exp(scale (tile[i, j] - row_max[i])); column_sum[j] likewise over i. */
void th_softmax_sum(const th_real *tile, int64_t rows, int64_t columns, th_real scale,
                    const th_real *row_max, const th_real *column_max, double *row_sum,
                    double *column_sum);

/* tile[i, j] = its probability in row i plus that in column j, with inverse = 1 / sum:
 * exp(scale (tile[i, j] - row_max[i])) row_inverse[i] + the same of column j. */
void th_softmax_both(th_real *tile, int64_t rows, int64_t columns, th_real scale,
                     const th_real *row_max, const th_real *row_inverse, const th_real *column_max,
                     const th_real *column_inverse);

#endif
