/* trainer/towers/image.c - the image tower: patch embedding, class token, positions and ln_pre,
 * then the stack. */
#include "trainer/nn/embedding.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"
#include "trainer/towers/pass.h"
#include <string.h>

// Rows of the group image.embed, in the table's order.
enum { CONV, CLASS, POSITION, PRE_WEIGHT };

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
                      .activation = p->model.activation,
                      .eps = TH_CLIP_EPS,
                      .first_norm = true,
                      .final_norm = true,
                      .pool = TH_POOL_FIRST,
                      .lowest = th_tower_cut(p, TH_IMAGE),
                      .sequences = { .n = n, .tokens = n * (P + 1), .longest = P + 1 },
                      .patches = n * P,
                      .patch_pixels = 3 * image->patch * image->patch };
}

// One token: `from` (a patch or the class embedding) and its position, then ln_pre, into row t.
static void place_token(const th_pass *pass, const th_tape *tape, bool keep, const th_real *from,
                        int64_t place, int64_t t, th_real *x)
{
    int64_t        W = pass->width;
    const th_real *position = th_embed_weight(pass, POSITION) + place * W;
    th_real       *z = keep ? tape->z + t * W : x + t * W;

#pragma omp simd
    for (int64_t j = 0; j < W; j++)
        z[j] = from[j] + position[j];
    th_first_norm(pass, tape, keep, PRE_WEIGHT, keep ? tape->z : x, t, 1, x);
}

typedef struct {
    const th_image_tower *tower;
    const uint8_t        *pixels;
} picture_input;

static void embed_forward(const th_pass *pass, th_tape *tape, bool keep, const void *of,
                          th_scratch threads, th_real *x)
{
    const picture_input   *in = of;
    const th_image_config *image = &pass->parameters->model.image;
    th_patches             patches;
    int64_t                W = pass->width, n = pass->sequences.n, K = pass->patch_pixels;
    int64_t P = pass->sequences.longest - 1, unit = th_unit_rows(W * K), near = TH_BLOCK_CHUNK;

    th_patches_init(&patches, image->size, image->patch, in->tower->mean, in->tower->deviation);
    tape->pixels = in->pixels;
#pragma omp parallel
    {
        th_real *rows = threads.base + omp_get_thread_num() * threads.each;
        th_real *e = rows + th_chunk_most(unit, near) * K;
        th_chunk c;
        for (th_walk walk = th_walk_share(pass->patches, unit, near); th_walk_next(&walk, &c);) {
            th_patch_rows(&patches, in->pixels, c.first, c.count, rows);
            th_linear(rows, c.count, K, W, th_embed_weight(pass, CONV), NULL, NULL, e);
            for (int64_t i = c.first; i < c.first + c.count; i++)
                place_token(pass, tape, keep, e + (i - c.first) * W, 1 + i % P,
                            i / P * (P + 1) + 1 + i % P, x);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++)
            place_token(pass, tape, keep, th_embed_weight(pass, CLASS), 0, i * (P + 1), x);
    }
}

static th_input input_of(const picture_input *pictures)
{
    return (th_input){ .of = pictures, .embed = embed_forward };
}

th_code th_image_lower(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                       th_arena *arena, th_real *rows, th_err *err)
{
    picture_input pictures = { tower, pixels };
    th_input      input = input_of(&pictures);
    th_pass       pass = image_pass(tower, n);

    return th_pass_lower(&pass, &input, arena, rows, err);
}

th_code th_image_upper(const th_image_tower *tower, const th_real *rows, int64_t n, th_arena *arena,
                       th_tape **out_tape, th_real *features, th_err *err)
{
    picture_input pictures = { tower, NULL };
    th_input      input = input_of(&pictures);
    th_pass       pass = image_pass(tower, n);

    return th_pass_upper(&pass, &input, rows, arena, out_tape, features, err);
}

th_code th_image_forward(const th_image_tower *tower, const uint8_t *pixels, int64_t n,
                         th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    picture_input pictures = { tower, pixels };
    th_input      input = input_of(&pictures);
    th_pass       pass = image_pass(tower, n);

    return th_pass_forward(&pass, &input, arena, out_tape, features, err);
}

// The patches' rows of dx are copied side by side for one product over all of them.
static void embed_backward(const th_tape *tape, const void *of, bool add, th_backward_scratch *s)
{
    const th_image_tower  *tower = of;
    const th_pass         *pass = &tape->pass;
    const th_image_config *image = &pass->parameters->model.image;
    th_patches             patches;
    int64_t                W = pass->width, n = pass->sequences.n, P = pass->sequences.longest - 1;
    th_real *conv = th_embed_gradient(pass, CONV), *position = th_embed_gradient(pass, POSITION);
    th_real *class = th_embed_gradient(pass, CLASS);

    th_patches_init(&patches, image->size, image->patch, tower->mean, tower->deviation);
#pragma omp parallel
    {
        th_first_norm_backward_share(tape, PRE_WEIGHT, add, s);
        if (position && !add)
            th_zero_share(position, (P + 1) * W);
        if (class && !add)
            th_zero_share(class, W);
#pragma omp barrier
        if (position)
            th_scatter_positions_share(s->dx, pass->sequences.first, n, W, position);
        if (class)
            th_gather_sum_share(s->dx, pass->sequences.pooled, n, W, class);
        if (conv) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < n; i++) {
                th_patch_rows(&patches, tape->pixels, i * P, P,
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
    return th_pass_backward(tape, d_features, add, arena, hooks, embed_backward, tower, err);
}

void th_image_tower_bytes(const th_image_tower *tower, int64_t n, size_t *out_tape,
                          size_t *out_scratch)
{
    th_pass pass = image_pass(tower, n);
    th_pass_bytes(&pass, out_tape, out_scratch);
}
