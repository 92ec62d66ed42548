/* trainer/towers/image.c - the image tower: patch embedding, class token, positions and ln_pre,
 * then the stack. */
#include "trainer/nn/embedding.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"
#include "trainer/towers/pass.h"
#include <string.h>

// Rows of the group image.embed, in the table's order.
enum { CONV, CLASS, POSITION, PRE_WEIGHT, PRE_BIAS };

static th_pass image_pass(const th_image_tower *tower, int64_t n)
{
    const th_parameters   *p = tower->parameters;
    const th_image_config *image = &p->model.image;
    int64_t                P = th_patch_count(image);

    return (th_pass){ .parameters = p,
                      .tower = TH_IMAGE,
                      .width = image->width,
                      .layers = image->layers,
                      .heads = image->heads,
                      .causal = false,
                      .lowest = th_tower_cut(p, TH_IMAGE),
                      .sequences = { .n = n, .tokens = n * (P + 1), .longest = P + 1 },
                      .patches = n * P,
                      .patch_pixels = 3 * image->patch * image->patch };
}

static int embed_row(const th_pass *pass, int which)
{
    const th_parameters *p = pass->parameters;
    return p->groups[th_parameters_group(p, TH_IMAGE, 0)].first_row + which;
}

static const th_real *embed_weight(const th_pass *pass, int which)
{
    return th_weight(pass->parameters, embed_row(pass, which));
}

static th_real *embed_gradient(const th_pass *pass, int which)
{
    int row = embed_row(pass, which);
    return pass->parameters->rows[row].trainable ? th_gradient(pass->parameters, row) : NULL;
}

// One token: `from` (a patch or the class embedding) and its position, then ln_pre, into row t.
static void place_token(const th_pass *pass, const th_tape *tape, bool keep, const th_real *from,
                        int64_t place, int64_t t, th_real *x)
{
    int64_t        W = pass->width;
    const th_real *position = embed_weight(pass, POSITION) + place * W;
    th_real       *z = keep ? tape->z + t * W : x + t * W;

#pragma omp simd
    for (int64_t j = 0; j < W; j++)
        z[j] = from[j] + position[j];
    th_layernorm(z, 1, W, embed_weight(pass, PRE_WEIGHT), embed_weight(pass, PRE_BIAS), x + t * W,
                 keep ? tape->mean + t : NULL, keep ? tape->rstd + t : NULL);
}

// x [T, W], the input of block 0.
static void embed_forward(const th_image_tower *tower, const th_pass *pass, const th_tape *tape,
                          bool keep, const uint8_t *pixels, th_scratch threads, th_real *x)
{
    const th_image_config *image = &pass->parameters->model.image;
    th_patches             patches;
    int64_t                W = pass->width, n = pass->sequences.n, K = pass->patch_pixels;
    int64_t P = pass->sequences.longest - 1, unit = th_unit_rows(W * K), near = TH_BLOCK_CHUNK;

    th_patches_init(&patches, image->size, image->patch, tower->mean, tower->deviation);
#pragma omp parallel
    {
        th_real *rows = threads.base + omp_get_thread_num() * threads.each;
        th_real *e = rows + th_chunk_most(unit, near) * K;
        th_chunk c;
        for (th_walk walk = th_walk_share(pass->patches, unit, near); th_walk_next(&walk, &c);) {
            th_patch_rows(&patches, pixels, c.first, c.count, rows);
            th_linear(rows, c.count, K, W, embed_weight(pass, CONV), NULL, NULL, e);
            for (int64_t i = c.first; i < c.first + c.count; i++)
                place_token(pass, tape, keep, e + (i - c.first) * W, 1 + i % P,
                            i / P * (P + 1) + 1 + i % P, x);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++)
            place_token(pass, tape, keep, embed_weight(pass, CLASS), 0, i * (P + 1), x);
    }
}

// The pass of a tape just carved, with its sequences laid out.
static th_pass lay_sequences(const th_tape *tape)
{
    const th_sequences *s = &tape->pass.sequences;

    for (int64_t i = 0; i <= s->n; i++)
        s->first[i] = i * s->longest;
    for (int64_t i = 0; i < s->n; i++)
        s->pooled[i] = i * s->longest;
    return tape->pass;
}

th_code th_image_lower(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                       th_arena *arena, th_real *rows, th_err *err)
{
    th_code   rc = TH_OK;
    th_pass   pass = image_pass(tower, n);
    size_t    start = arena->used_bytes;
    th_carver carver = { .arena = arena };

    TH_TRY(th_need_cut(&pass, err));
    th_tape           *tape = th_carve_tape(&carver, &pass, false);
    th_forward_scratch scratch = th_carve_lower(&carver, &pass);
    if (!tape || carver.full) {
        rc = th_arena_short(arena, err);
    } else {
        th_real *x = scratch.x ? scratch.x : rows;
        pass = lay_sequences(tape);
        embed_forward(tower, &pass, tape, false, pixels, scratch.threads, x);
        th_stack_lower(&pass, &scratch, x, rows);
    }
    th_arena_rewind(arena, start);
out:
    return rc;
}

// From the rows at the cut, or from pixels where there is no cut.
static th_code forward_above(const th_image_tower *tower, const uint8_t *pixels, th_real *rows,
                             int64_t n, th_arena *arena, th_tape **out_tape, th_real *features,
                             th_err *err)
{
    bool      keep = out_tape;
    th_pass   pass = image_pass(tower, n);
    size_t    start = arena->used_bytes;
    th_carver carver = { .arena = arena };

    th_tape           *tape = th_carve_tape(&carver, &pass, keep);
    size_t             kept = arena->used_bytes;
    th_forward_scratch scratch = th_carve_upper(&carver, &pass, keep);
    if (!tape || carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    pass = lay_sequences(tape);
    tape->pixels = pixels;
    if (pass.lowest == 0) {
        rows = keep ? tape->blocks[0].x : scratch.x;
        embed_forward(tower, &pass, tape, keep, pixels, scratch.threads, rows);
    }
    th_stack_upper(&pass, tape, keep, &scratch, rows, features);
    th_arena_rewind(arena, keep ? kept : start);
    if (keep)
        *out_tape = tape;
    return TH_OK;
}

th_code th_image_upper(const th_image_tower *tower, const th_real *rows, int64_t n, th_arena *arena,
                       th_tape **out_tape, th_real *features, th_err *err)
{
    th_code rc = TH_OK;
    th_pass pass = image_pass(tower, n);

    TH_TRY(th_need_cut(&pass, err));
    // Nobody writes to the rows: they go where a block's input goes, which in other blocks is the
    // output of the one below.
    TH_TRY(forward_above(tower, NULL, (th_real *)rows, n, arena, out_tape, features, err));
out:
    return rc;
}

th_code th_image_forward(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                         th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    th_code  rc = TH_OK;
    th_pass  pass = image_pass(tower, n);
    size_t   start = arena->used_bytes;
    th_real *rows = NULL;

    if (pass.lowest > 0) {
        TH_TRY(th_carve_cut(arena, &pass, features, &rows, err));
        TH_TRY(th_image_lower(tower, pixels, n, arena, rows, err));
    }
    TH_TRY(forward_above(tower, pixels, rows, n, arena, out_tape, features, err));
out:
    if (rc != TH_OK || !out_tape)
        th_arena_rewind(arena, start);
    return rc;
}

// dx becomes the gradient of z. Then the class token's and the patches' rows part: the patches' are
// copied side by side for one product over all of them.
static void pre_norm_backward(const th_tape *tape, th_backward_scratch *s)
{
    const th_pass *pass = &tape->pass;
    int64_t        W = pass->width;
    th_chunk       c;

    for (th_walk walk = th_walk_share(pass->sequences.tokens, th_block_unit(W), 1);
         th_walk_next(&walk, &c);) {
        int64_t at = c.first * W;
        th_layernorm_backward(s->dx + at, tape->z + at, c.count, W, embed_weight(pass, PRE_WEIGHT),
                              tape->mean + c.first, tape->rstd + c.first, NULL, s->dx + at,
                              s->pre_gamma + c.unit * W, s->pre_beta + c.unit * W);
    }
}

static void embed_backward(const th_tape *tape, const th_patches *patches, bool add,
                           th_backward_scratch *s)
{
    const th_pass *pass = &tape->pass;
    int64_t        W = pass->width, n = pass->sequences.n, P = pass->sequences.longest - 1;
    int64_t        units = th_unit_count(pass->sequences.tokens, th_block_unit(W));
    th_real       *conv = embed_gradient(pass, CONV), *position = embed_gradient(pass, POSITION);
    th_real *class = embed_gradient(pass, CLASS);

#pragma omp parallel
    {
        pre_norm_backward(tape, s);
        if (position && !add)
            th_zero_share(position, (P + 1) * W);
        if (class && !add)
            th_zero_share(class, W);
#pragma omp barrier
        th_fold_share(s->pre_gamma, units, W, add, embed_gradient(pass, PRE_WEIGHT));
        th_fold_share(s->pre_beta, units, W, add, embed_gradient(pass, PRE_BIAS));
        if (position)
            th_scatter_positions_share(s->dx, pass->sequences.first, n, W, position);
        if (class)
            th_gather_sum_share(s->dx, pass->sequences.pooled, n, W, class);
        if (conv) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < n; i++) {
                th_patch_rows(patches, tape->pixels, i * P, P,
                              s->patch_rows + i * P * pass->patch_pixels);
                memcpy(s->d_patches + i * P * W, s->dx + (i * (P + 1) + 1) * W,
                       (size_t)(P * W) * sizeof(th_real));
            }
            th_linear_backward_weight_share(s->d_patches, s->patch_rows, pass->patches,
                                            pass->patch_pixels, W, add, conv);
        }
    }
}

th_code th_image_backward(const th_image_tower *tower, th_tape *tape, const th_real *d_features,
                          bool add, th_arena *arena, const th_backward_hooks *hooks, th_err *err)
{
    size_t              start = arena->used_bytes;
    th_carver           carver = { .arena = arena };
    th_backward_scratch scratch = th_carve_backward(&carver, &tape->pass);
    th_patches          patches;

    if (carver.full) {
        th_arena_rewind(arena, start);
        return th_arena_short(arena, err);
    }
    th_stack_backward(tape, d_features, add, &scratch, hooks);
    if (tape->pass.lowest == 0) {
        const th_image_config *image = &tower->parameters->model.image;
        th_patches_init(&patches, image->size, image->patch, tower->mean, tower->deviation);
        embed_backward(tape, &patches, add, &scratch);
        th_group_done(&tape->pass, 0, hooks);
    }
    th_arena_rewind(arena, start);
    return TH_OK;
}

void th_image_tower_bytes(const th_image_tower *tower, int64_t n, size_t *out_tape,
                          size_t *out_scratch)
{
    th_pass pass = image_pass(tower, n);
    th_pass_bytes(&pass, out_tape, out_scratch);
}
