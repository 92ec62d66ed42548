/* trainer/loss/contrastive.h - CLIP's softmax loss over the global batch, exact, tiled.
 *
 * With unit rows I_i and T_j, scale s = exp(logit_scale) and B samples:
 *
 *     loss = 1/2B sum_i [ lse_j(s I_i.T_j) - s I_i.T_i ]
 *          + 1/2B sum_j [ lse_i(s I_i.T_j) - s I_j.T_j ]
 *
 * With K captions a sample the loss is the mean over the K pairings, T = T_0 .. T_(K-1): caption k
 * of sample i is row i * K + k. The B x B similarities are never stored: tiles of fixed size are
 * formed, reduced to log-sum-exps, these are exchanged, and backward forms the tiles again. Each
 * rank then has the complete gradients of its own rows. Memory beyond the arguments: O(B d + tile).
 * Radford et al. 2021, arXiv:2103.00020, figure 3; scale <= 100 is from section 2.5. */
#ifndef TH_TRAINER_LOSS_CONTRASTIVE_H
#define TH_TRAINER_LOSS_CONTRASTIVE_H

#include "base/memory.h"
#include "comm/world.h"
#include "trainer/nn/real.h"
#include <stdbool.h>

typedef struct {
    int64_t        B, d, K; // global batch, feature width, captions a sample
    const th_real *image;   // [B, d] unit rows of all ranks, in rank order (th_slice_first)
    const th_real *text;    // [B, K, d] likewise
    th_real        logit_scale;
    bool           backward; // false: the loss only, for evaluation
} th_contrastive_input;

typedef struct {
    double   loss;          // mean over the global batch, in nats: the same bits on all ranks
    double   d_logit_scale; // of the whole loss: the same bits on all ranks
    th_real *d_image;       // [b, d] this rank's rows, of the caller's memory, overwritten
    th_real *d_text;        // [b, K, d] likewise
    // One of the two may be NULL (a frozen tower), the same on all ranks: a product less.
} th_contrastive_output;

/* The result has the same bits on any number of threads. A feature that is NaN or infinite is no
 * error: the loss of all ranks is then not finite, and the step decides.
 *
 * Errors: TH_EIO (arena too small), TH_EPEER (communication).
 * Calls: Collective; from one thread, which opens OpenMP regions. */
TH_MUST_CHECK th_code th_contrastive(th_world *world, const th_contrastive_input *in,
                                     th_arena *arena, th_contrastive_output *out, th_err *err);

/* Arena bytes that a call needs on this rank, with omp_get_max_threads() as it is now. Local. */
size_t th_contrastive_bytes(const th_world *world, int64_t B, int64_t d, int64_t K, bool backward);

#endif
