/* trainer/nn/gelu.h - the two activations of CLIP's MLP, on the calling thread.
 *
 *     GELU       u Phi(u), exact, with erf        (Hendrycks and Gimpel 2016, arXiv:1606.08415)
 *     QuickGELU  u sigmoid(1.702 u)               (OpenAI's CLIP)
 *
 * Calls: Local; any thread. */
#ifndef TH_TRAINER_NN_GELU_H
#define TH_TRAINER_NN_GELU_H

#include "trainer/model.h"
#include "trainer/nn/real.h"

/* y = activation(u), n numbers; y may be u. */
void th_activate(th_activation kind, const th_real *u, int64_t n, th_real *y);

/* u, du, y [rows, columns]. y = activation(u) once more; du *= its derivative; sum [columns] (may
 * be NULL) = the sum of du's rows, overwritten. y may be u. */
void th_activate_backward(th_activation kind, const th_real *u, int64_t rows, int64_t columns,
                          th_real *du, th_real *y, th_real *sum);

#endif
