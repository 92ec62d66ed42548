/* trainer/optim/adamw.h - AdamW over the trainable rows of the parameter table.
 *
 *     w <- w - lr decay w;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
 *     w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * with t the row's own count of updates, as in torch.optim.AdamW. Loshchilov and Hutter 2019,
 * arXiv:1711.05101. Compiled without contraction, so the bits do not depend on the processor. */
#ifndef TH_TRAINER_OPTIM_ADAMW_H
#define TH_TRAINER_OPTIM_ADAMW_H

#include "trainer/optim/squares.h"

typedef struct {
    double beta1, beta2, eps;
    double weight_decay;    // applies to rows with decay
    double clip_norm;       // largest global norm of the gradient, 0: no clipping
    bool   decay_positions; // embeddings of positions decay too, as open_clip has it
} th_adamw;

/* Euclidean norm over the gradients of the trainable rows, of th_squares_of: the same bits for any
 * number of threads. NaN or infinity comes through. Local; opens OpenMP regions. */
double th_gradient_norm(const th_parameters *parameters);

/* One update: gradients are multiplied by min(1, clip_norm / norm) on the way. lr[row_count] is
 * each row's learning rate. Then logit_scale is clamped to [0, ln 100]. Returns the squares of the
 * trainable weights that come of it, bit for bit those of th_squares_of. Local; opens OpenMP
 * regions. */
th_squares th_adamw_update(th_parameters *parameters, const th_adamw *adamw, const double *lr,
                           double norm);

#endif
