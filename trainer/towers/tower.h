/* trainer/towers/tower.h - what the image and the text tower have in common: a pass and its tape.
 *
 * A pass takes one micro-batch. Forward writes features [n, embed], projected but not normalised.
 * With a tape it keeps what backward needs in the caller's arena (backward frees nothing: the
 * caller rewinds); without one it uses the arena and rewinds it. Backward adds to or overwrites the
 * gradient arena, for trainable rows only, and stops below the lowest trainable group: a frozen
 * prefix keeps no activations and costs no backward.
 *
 * The cut. What is below the lowest trainable row's group is frozen: it makes the same of a sample
 * every time, which may be kept and used again. *_lower computes it, the rows at the cut; *_upper
 * goes on from there; *_forward is the one after the other. The bits of a sample's rows at the cut
 * follow from the sample and the frozen weights alone, not from the samples beside it, the
 * micro-batch, threads or ranks (trainer/nn/steady.h), on one kind of processor: vectors of another
 * length add up the norms in another order.
 *
 *     cut            th_tower_cut       rows at the cut of a sample
 *     embed          0                  none: all of the tower trains
 *     block i        1 + i              [tokens, W]  input of block i
 *     head           1 + layers         [W]          pooled output of the last block, before
 *                                                    CLIP's final norm, which is cheap and so goes
 *                                                    the same way whether it trains or not
 *     none trains    2 + layers         [embed]      feature, not normalised
 *
 * Rows of a pass stand sample after sample.
 *
 * In the last block only the pooled row (class token, EOT, BERT's [CLS]) has a query, attention
 * output and MLP; keys and values are of all tokens. That is the same result as the full block, as
 * nothing reads the other rows. Where the mean of all rows is pooled, that block is full.
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

/* The depth of the lowest group of the tower with a trainable row; layers + 2 when nothing trains.
 * A pass looks at the table when it begins: a tape is used up before the table changes. */
int th_tower_cut(const th_parameters *parameters, th_tower tower);
/* th_reals of a sample's rows at the cut, 0 when that is the bottom. tokens: of the caption; the
 * image tower has its own number. */
int64_t th_tower_cut_reals(const th_parameters *parameters, th_tower tower, int64_t tokens);

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
/* The rows at the cut of n images; keeps nothing. Errors: TH_EIO as above, TH_EUSAGE when the cut
 * is the bottom. */
TH_MUST_CHECK th_code th_image_lower(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                                     th_arena *arena, th_real *rows, th_err *err);
/* From these rows on, as th_image_forward, which needs the arena no more than the whole does. rows:
 * borrowed until backward is done when a tape is kept. Errors: as above. */
TH_MUST_CHECK th_code th_image_upper(const th_image_tower *tower, const th_real *rows, int64_t n,
                                     th_arena *arena, th_tape **out_tape, th_real *features,
                                     th_err *err);
/* d_features [n, embed]. add: gradients are added to what is there, else they replace it. */
TH_MUST_CHECK th_code th_image_backward(const th_image_tower *tower, th_tape *tape,
                                        const th_real *d_features, bool add, th_arena *arena,
                                        const th_backward_hooks *hooks, th_err *err);
/* Arena bytes of a pass over n images: of the tape (with the rows at the cut) that stays after
 * forward, and of what forward or backward needs besides (the larger of the two). */
void th_image_tower_bytes(const th_image_tower *tower, int64_t n, size_t *out_tape,
                          size_t *out_scratch);

/* Text tower: CLIP's causal transformer with EOT pooling, or BERT (th_text_kind), whose positions
 * begin at 0 in each caption. Captions are packed back to back, cut at EOT or [SEP]: no pads.
 * Tokens do not see what follows (the causal mask, or the padding mask of a reference), so features
 * and gradients are those of the padded computation. */
typedef struct {
    const th_parameters *parameters;
} th_text_tower;

/* Captions of a micro-batch: caption i is tokens[offsets[i] .. offsets[i + 1]). Each has 1 to
 * context tokens, each in [0, vocabulary). */
typedef struct {
    const int32_t *tokens;
    const int64_t *offsets; // [n + 1]; offsets[0] need not be 0
    int64_t        n;
} th_captions;

TH_MUST_CHECK th_code th_text_forward(const th_text_tower *tower, const th_captions *captions,
                                      th_arena *arena, th_tape **out_tape, th_real *features,
                                      th_err *err);
/* As the image tower's. Of captions upper reads the offsets alone. */
TH_MUST_CHECK th_code th_text_lower(const th_text_tower *tower, const th_captions *captions,
                                    th_arena *arena, th_real *rows, th_err *err);
TH_MUST_CHECK th_code th_text_upper(const th_text_tower *tower, const th_captions *captions,
                                    const th_real *rows, th_arena *arena, th_tape **out_tape,
                                    th_real *features, th_err *err);
TH_MUST_CHECK th_code th_text_backward(const th_text_tower *tower, th_tape *tape,
                                       const th_real *d_features, bool add, th_arena *arena,
                                       const th_backward_hooks *hooks, th_err *err);
void th_text_tower_bytes(const th_text_tower *tower, int64_t n, int64_t tokens, size_t *out_tape,
                         size_t *out_scratch);

#endif
