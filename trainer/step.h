/* trainer/step.h - one step: features, all-gather, loss, backward, all-reduce.
 *
 *     images  -> image tower -> I [b, d] --all-gather--> [B, d]    \
 *                                                                   loss -> dI, dT -> backward ->
 * buckets captions -> text tower -> T [b, K, d] --all-gather--> [B, K, d] /
 *
 * The all-gather of the image features runs behind the text tower. A model with a logit bias has
 * the sigmoid loss, which needs no all-gather: texts go round the ranks (trainer/loss/pairwise.h).
 * A bucket's all-reduce starts when the last micro-batch's backward has passed its groups. A loss
 * or gradient that is not finite is the same on all ranks (both are results of exchanges that give
 * the same bits everywhere), so all ranks skip that update together. */
#ifndef TH_TRAINER_STEP_H
#define TH_TRAINER_STEP_H

#include "dataloader/feature_cache.h"
#include "dataloader/loader.h"
#include "trainer/optim/adamw.h"
#include "trainer/plan.h"

typedef struct {
    th_world         *world;      // kept
    th_parameters    *parameters; // kept
    float             mean[3], deviation[3];
    int64_t           batch, captions;  // B and K
    int64_t           micro_batch;      // 0: as the memory allows
    th_arena         *activations;      // kept; tapes and scratch, rewound by each step
    size_t            activation_bytes; // of it that a step may use
    th_feature_cache *cache[2];         // of the image and the text tower, or NULL; kept
    bool              mask_duplicates;  // a caption of another sample that is equal is no negative
} th_step_options;

typedef struct {
    double     loss;
    double     gradient_norm; // NaN when the loss was not finite: nothing was differentiated
    th_squares gradient;      // what it is made of, tower by tower
    bool       finite;        // loss and gradient are
} th_step_result;

typedef struct th_step th_step;

/* The trainable rows must not change while it is open: buckets are laid out here. Errors: TH_EIO.
 * Local. */
TH_MUST_CHECK th_code th_step_open(const th_step_options *options, th_step **out, th_err *err);
void                  th_step_close(th_step *step); // accepts NULL

/* Loss and gradient of the global batch, of which `batch` is this rank's slice: afterwards the
 * gradient arena of every rank holds the sum over ranks, for trainable rows. Errors: TH_EUSAGE
 * (memory), TH_EIO, TH_EPEER. Calls: Collective. */
TH_MUST_CHECK th_code th_step_gradient(th_step *step, const th_batch *batch, th_step_result *out,
                                       th_err *err);

/* Bytes of memory that are used beside weights, gradients, moments and activations: features and
 * their gradients, and the loss's scratch. Local. */
size_t th_step_feature_bytes(const th_parameters *parameters, const th_world *world, int64_t batch,
                             int64_t captions, bool mask_duplicates);

#endif
