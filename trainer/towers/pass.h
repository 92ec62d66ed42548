/* trainer/towers/pass.h - a pass over one micro-batch: its sizes, its tape, its memory.
 *
 * Private to towers/. Everything a pass uses is carved from the caller's arena by functions that
 * also count without an arena, so the bytes that are planned are the bytes that are used. */
#ifndef TH_TRAINER_TOWERS_PASS_H
#define TH_TRAINER_TOWERS_PASS_H

#include "trainer/nn/patch.h"
#include "trainer/towers/block.h"
#include "trainer/towers/tower.h"

typedef struct {
    const th_parameters *parameters;
    th_tower             tower;
    int64_t              width, layers, heads;
    th_activation        activation;
    double               eps;        // of the norms
    bool                 causal;     // and what else differs: a norm over block 0's input,
    bool                 first_norm; // one over the pooled rows, and where those of the blocks
    bool                 final_norm; // stand (block.h)
    bool                 post_norm;
    th_pool              pool;
    int                  lowest; // the cut (th_tower_cut)
    th_sequences         sequences;
    int64_t              patches;      // rows of the patch embedding: n P; text: 0
    int64_t              patch_pixels; // numbers in a patch, 3 patch patch; text: 0
} th_pass;

struct th_tape {
    th_pass        pass;
    th_block_tape *blocks;              // [layers]; those below the cut are empty
    th_real       *top;                 // [n, W] pooled output of the last block
    th_real       *top_mean, *top_rstd; // [n] of the final norm
    // Of the lowest group, when it is trainable:
    const uint8_t *pixels;
    int32_t       *tokens;          // [T]
    th_real       *z, *mean, *rstd; // [T, W], [T]: input of the first norm and its statistics
};

/* Hands out arena memory, or only counts it when arena is NULL. */
typedef struct {
    th_arena *arena;
    size_t    bytes;
    bool      full;
} th_carver;

void    *th_carve(th_carver *carver, int64_t count, size_t size);
th_real *th_carve_reals(th_carver *carver, int64_t count);

bool th_group_trainable(const th_parameters *parameters, int group);

th_block th_pass_block(const th_pass *pass, int64_t layer);

/* Does the last block compute the pooled row of each sequence alone? Not when the mean of all is
 * pooled. */
static inline bool th_pools_rows(const th_pass *pass)
{
    return pass->pool != TH_POOL_MEAN;
}

/* The tape of a pass, with room for first[n + 1] and pooled[n] in its sequences. keep: what
 * backward needs from the cut up, but the rows at the cut, which th_stack_upper is given; else only
 * the sequences. NULL when only counting. */
th_tape *th_carve_tape(th_carver *carver, const th_pass *pass, bool keep);

typedef struct {
    th_real      *x;     // [T, W] activations that are not kept
    th_block_tape block; // of blocks that are not kept
    th_real      *top;   // [n, W] pooled output of the last block
    th_real      *top_n; // [n, W] output of the final norm
    th_scratch    threads;
} th_forward_scratch;

/* Below the cut; x and top are left out where they are the rows at the cut. */
th_forward_scratch th_carve_lower(th_carver *carver, const th_pass *pass);
th_forward_scratch th_carve_upper(th_carver *carver, const th_pass *pass, bool keep);

typedef struct {
    th_real         *dx;                   // [T, W] gradient of a block's output, then of its input
    th_real         *d_top, *top_n;        // [n, W]
    th_real         *top_gamma, *top_beta; // [units of n, W]
    th_block_scratch block;
    th_real         *patch_rows;   // [patches, patch_pixels]
    th_real         *d_patches;    // [patches, W]
    th_real         *sum_first[2]; // [units of T, W] of the first norm's gamma and beta
} th_backward_scratch;

th_backward_scratch th_carve_backward(th_carver *carver, const th_pass *pass);

/* Reals of the rows at the cut, of all samples; 0 when there is no cut. */
int64_t th_pass_cut_reals(const th_pass *pass);

/* Room for the rows at the cut of a pass that goes on above it: in the arena, or the features
 * themselves where nothing trains. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_carve_cut(th_arena *arena, const th_pass *pass, th_real *features,
                                   th_real **out_rows, th_err *err);

/* What is below the cut, from x [T, W], the input of block 0, to the rows at the cut; x is these
 * where the cut is block 0's input. */
void th_stack_lower(const th_pass *pass, const th_forward_scratch *scratch, th_real *x,
                    th_real *rows);
/* What is above it, from those rows (no cut: from block 0's input) to features [n, embed]. The tape
 * points to the rows. */
void th_stack_upper(const th_pass *pass, th_tape *tape, bool keep,
                    const th_forward_scratch *scratch, th_real *rows, th_real *features);

/* Backward of the same, down to the lowest trainable group; scratch->dx is then the gradient of
 * block 0's input, if the lowest group is that of depth 0. */
void th_stack_backward(th_tape *tape, const th_real *d_features, bool add,
                       th_backward_scratch *scratch, const th_backward_hooks *hooks);

/* What a tower makes the input of block 0 of. */
typedef struct {
    const void    *of;      // what it looks at: for embed
    const int64_t *offsets; // [n + 1] where sequences begin; NULL: all are as long as the longest
    /* x [T, W], and with `keep` what backward needs in the tape. */
    void (*embed)(const th_pass *pass, th_tape *tape, bool keep, const void *of, th_scratch threads,
                  th_real *x);
} th_input;

/* The passes of tower.h, whose contracts hold here. */
TH_MUST_CHECK th_code th_pass_lower(const th_pass *pass, const th_input *input, th_arena *arena,
                                    th_real *rows, th_err *err);
TH_MUST_CHECK th_code th_pass_upper(const th_pass *pass, const th_input *input, const th_real *rows,
                                    th_arena *arena, th_tape **out_tape, th_real *features,
                                    th_err *err);
TH_MUST_CHECK th_code th_pass_forward(const th_pass *pass, const th_input *input, th_arena *arena,
                                      th_tape **out_tape, th_real *features, th_err *err);

/* From scratch->dx, the gradient of block 0's input, to those of the group at depth 0. */
typedef void          th_embed_backward(const th_tape *tape, const void *of, bool add,
                                        th_backward_scratch *scratch);
TH_MUST_CHECK th_code th_pass_backward(th_tape *tape, const th_real *d_features, bool add,
                                       th_arena *arena, const th_backward_hooks *hooks,
                                       th_embed_backward *embed_backward, const void *of,
                                       th_err *err);

/* Row `which` of the group at depth 0, in the table's order. */
const th_real *th_embed_weight(const th_pass *pass, int which);
th_real       *th_embed_gradient(const th_pass *pass, int which); // NULL when it is frozen

/* The first norm, by every thread of a team: rows t .. t + rows - 1 of z into x, and with `keep`
 * the statistics into the tape. z may be x. weight_row: of th_embed_weight, the bias follows. */
void th_first_norm(const th_pass *pass, const th_tape *tape, bool keep, int weight_row,
                   const th_real *z, int64_t t, int64_t rows, th_real *x);
/* Its backward over all rows, by every thread of a team: scratch->dx becomes the gradient of z, and
 * the weights get theirs. */
void th_first_norm_backward_share(const th_tape *tape, int weight_row, bool add,
                                  th_backward_scratch *scratch);

void th_drive(const th_backward_hooks *hooks);
/* Tells the hooks that the group at a depth is done, if any of its rows is trainable. */
void th_group_done(const th_pass *pass, int depth, const th_backward_hooks *hooks);

/* Bytes of the tape, and of the most that a forward (kept or not) or backward needs besides. */
void th_pass_bytes(const th_pass *pass, size_t *out_tape, size_t *out_scratch);

/* TH_EUSAGE when nothing at the bottom of the tower is frozen. */
TH_MUST_CHECK th_code th_need_cut(const th_pass *pass, th_err *err);

/* The error of an arena that was reserved too small. */
TH_MUST_CHECK th_code th_arena_short(const th_arena *arena, th_err *err);

#endif
