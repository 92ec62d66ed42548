/* trainer/towers/tower.h - what the image and the text tower have in common: a pass and its tape.
 *
 * A pass takes one micro-batch. Forward writes features [n, embed], projected but not normalised.
 * With a tape it keeps what backward needs in the caller's arena (backward frees nothing: the
 * caller rewinds); without one it uses the arena and rewinds it. Backward adds to or overwrites the
 * gradient arena, for trainable rows only, and stops below the lowest trainable group: a frozen
 * prefix keeps no activations and costs no backward.
 *
 * In the last block only the pooled row (class token, EOT) has a query, attention output and MLP;
 * keys and values are of all tokens. That is the same result as the full block, as nothing reads
 * the other rows.
 *
 * Calls: Local; from one thread, which opens OpenMP regions of its own. Work is cut in fixed units,
 * so the result has the same bits on any number of threads. */
#ifndef TH_TRAINER_TOWERS_TOWER_H
#define TH_TRAINER_TOWERS_TOWER_H

#include "trainer/parameters.h"

/* Told what backward has done, to start buckets and to let MPI progress between kernels. */
typedef struct {
    void (*group_done)(void *context, int group); // this pass's gradients of that group are final
    void (*drive)(void *context);                 // between kernels, a few times a block
    void *context;
} th_backward_hooks;

typedef struct th_tape th_tape; // lies in the arena of its pass

/* Image tower: ViT as in CLIP. Radford et al. 2021, arXiv:2103.00020; open_clip's names. */
typedef struct {
    const th_parameters *parameters;
    float                mean[3], deviation[3]; // of pixels scaled to [0, 1]
} th_image_tower;

/* pixels [n, size, size, 3] uint8 RGB, borrowed until backward is done when a tape is kept.
 * *out_tape (may be NULL: keep nothing) lies in arena. Errors: TH_EIO when the arena is too small:
 * reserve th_image_tower_bytes first. */
TH_MUST_CHECK th_code th_image_forward(const th_image_tower *tower, const uint8_t *pixels,
                                       int64_t n, th_arena *arena, th_tape **out_tape,
                                       th_real *features, th_err *err);
/* d_features [n, embed]. add: gradients are added to what is there, else they replace it. */
TH_MUST_CHECK th_code th_image_backward(const th_image_tower *tower, th_tape *tape,
                                        const th_real *d_features, bool add, th_arena *arena,
                                        const th_backward_hooks *hooks, th_err *err);
/* Arena bytes of a pass over n images: of the tape that stays after forward, and of what forward or
 * backward needs besides (the larger of the two). */
void th_image_tower_bytes(const th_image_tower *tower, int64_t n, size_t *out_tape,
                          size_t *out_scratch);

/* Text tower: causal transformer, EOT pooling. Captions are packed back to back, cut at EOT: no
 * pads. The causal mask makes the tokens up to EOT independent of what follows, so features and
 * gradients are those of the padded computation. */
typedef struct {
    const th_parameters *parameters;
} th_text_tower;

/* Captions of a micro-batch: caption i is tokens[offsets[i] .. offsets[i + 1]), its last token
 * pooled. Each has 1 to context tokens, each in [0, vocabulary). */
typedef struct {
    const int32_t *tokens;
    const int64_t *offsets; // [n + 1]; offsets[0] need not be 0
    int64_t        n;
} th_captions;

TH_MUST_CHECK th_code th_text_forward(const th_text_tower *tower, const th_captions *captions,
                                      th_arena *arena, th_tape **out_tape, th_real *features,
                                      th_err *err);
TH_MUST_CHECK th_code th_text_backward(const th_text_tower *tower, th_tape *tape,
                                       const th_real *d_features, bool add, th_arena *arena,
                                       const th_backward_hooks *hooks, th_err *err);
void th_text_tower_bytes(const th_text_tower *tower, int64_t n, int64_t tokens, size_t *out_tape,
                         size_t *out_scratch);

#endif
