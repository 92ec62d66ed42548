/* trainer/loss/contrastive.h - the loss over the global batch: CLIP's softmax or SigLIP's sigmoid,
 * exact, tiled, on all ranks together.
 *
 * With unit rows I_i and T_j, scale s = exp(logit_scale), x_ij = I_i.T_j and B samples:
 *
 *     softmax   1/2B sum_i [ log sum_j exp(s x_ij) - s x_ii ]
 *             + 1/2B sum_j [ log sum_i exp(s x_ij) - s x_jj ]
 *     sigmoid   1/B  sum_ij log(1 + exp(-z_ij (s x_ij + logit_bias))),   z_ii = 1, else -1
 *
 * With K captions a sample the loss is the mean over the K pairings, T = T_0 .. T_(K-1): caption k
 * of sample i is row i * K + k. With `mask_duplicates`, pairs i != j whose captions are equal (key
 * [i, k] = key [j, k] in pairing k) are in no sum: a batch in which all are equal has the softmax
 * loss 0.
 *
 * The B x B similarities are never stored: tiles of fixed size are formed and used up, and each
 * rank then has the complete gradients of its own rows. Softmax needs the features of all ranks, so
 * its arguments are [B, d], and its scratch is O(B K + tile). Sigmoid needs those of this rank;
 * texts visit the others, and all memory is O(b K d + tile), on any number of ranks.
 *
 * Radford et al. 2021, arXiv:2103.00020, figure 3; scale <= 100 is from section 2.5. Zhai et al.
 * 2023, arXiv:2303.15343, algorithm 1. */
#ifndef TH_TRAINER_LOSS_CONTRASTIVE_H
#define TH_TRAINER_LOSS_CONTRASTIVE_H

#include "base/memory.h"
#include "comm/world.h"
#include "trainer/nn/real.h"
#include <stdbool.h>

typedef enum { TH_SOFTMAX_LOSS, TH_SIGMOID_LOSS } th_loss_kind;

/* The rows: softmax those of all ranks, in rank order (th_slice_first); sigmoid this rank's. */
typedef struct {
    th_loss_kind    kind;
    int64_t         B, d, K;         // global batch, feature width, captions a sample
    bool            backward;        // false: the loss only, for evaluation
    bool            mask_duplicates; // equal captions of other samples are left out
    const th_real  *image;           // [rows, d] unit rows
    const th_real  *text;            // [rows, K, d] likewise
    const uint64_t *key;             // [rows, K] th_caption_key, when duplicates are masked
    th_real         logit_scale;
    th_real         logit_bias; // sigmoid only
} th_contrastive_input;

typedef struct {
    double   loss;          // mean over the global batch, in nats: the same bits on all ranks
    double   d_logit_scale; // of the whole loss: the same bits on all ranks
    double   d_logit_bias;  // likewise; softmax: 0
    th_real *d_image;       // [b, d] this rank's rows, of the caller's memory, overwritten
    th_real *d_text;        // [b, K, d] likewise
    // One of the two may be NULL (a frozen tower), the same on all ranks: a product less.
} th_contrastive_output;

/* The result has the same bits on any number of threads. A feature that is NaN or infinite is no
 * error: the loss or a gradient of all ranks is then not finite, and the step decides.
 *
 * Errors: TH_EIO (arena too small), TH_EPEER (communication).
 * Calls: Collective; from one thread, which opens OpenMP regions. */
TH_MUST_CHECK th_code th_contrastive(th_world *world, const th_contrastive_input *in,
                                     th_arena *arena, th_contrastive_output *out, th_err *err);

/* Arena bytes that a call needs on this rank, with omp_get_max_threads() as it is now. Of the input
 * only kind, B, d, K, backward and mask_duplicates count. Local. */
size_t th_contrastive_bytes(const th_world *world, const th_contrastive_input *in);

#endif
