/* trainer/loss/sigmoid.h - the elementwise work of the sigmoid loss on one tile of similarities.
 *
 * A tile is [rows, columns], columns fastest and without padding, of pairs that do not belong
 * together. NaN comes through in the sums. Local, any thread. */
#ifndef TH_TRAINER_LOSS_SIGMOID_H
#define TH_TRAINER_LOSS_SIGMOID_H

#include "trainer/nn/real.h"

/* With logit l = scale tile[i, j] + bias: loss[i] += sum_j log(1 + exp(l)), slope[i] += sum_j g,
 * and tile[i, j] = g, the loss's derivative 1 / (1 + exp(-l)) by the logit. */
void th_sigmoid_tile(th_real *tile, int64_t rows, int64_t columns, th_real scale, th_real bias,
                     double *loss, double *slope);

/* A pair that belongs together: its loss log(1 + exp(-l)), and *slope its derivative by l. */
double th_sigmoid_pair(th_real similarity, th_real scale, th_real bias, double *slope);

#endif
