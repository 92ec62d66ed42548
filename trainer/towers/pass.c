#include "trainer/towers/pass.h"

#include "trainer/nn/units.h"

#define LINE_BYTES ((size_t)64)

// Sizes were checked with the model and the micro-batch; an arena that is too small says so itself.
void *th_carve(th_carver *carver, int64_t count, size_t size)
{
    size_t bytes = ((size_t)count * size + LINE_BYTES - 1) & ~(LINE_BYTES - 1);
    void  *memory = carver->arena ? th_arena_take(carver->arena, 1, bytes) : NULL;

    carver->bytes += bytes;
    carver->full |= carver->arena && !memory;
    return memory;
}

th_real *th_carve_reals(th_carver *carver, int64_t count)
{
    return th_carve(carver, count, sizeof(th_real));
}

th_code th_arena_short(const th_arena *arena, th_err *err)
{
    return th_fail(err, TH_EIO, "use a smaller micro-batch or a larger memory_budget", __FILE__,
                   __LINE__, "the arena of a tower is too small: %zu bytes, %zu in use",
                   arena->reserved_bytes, arena->used_bytes);
}

bool th_group_trainable(const th_parameters *parameters, int group)
{
    const th_group *g = &parameters->groups[group];

    for (int row = g->first_row; row < g->first_row + g->row_count; row++)
        if (parameters->rows[row].trainable)
            return true;
    return false;
}

static int embed_row(const th_pass *pass, int which)
{
    const th_parameters *p = pass->parameters;
    return p->groups[th_parameters_group(p, pass->tower, 0)].first_row + which;
}

const th_real *th_embed_weight(const th_pass *pass, int which)
{
    return th_weight(pass->parameters, embed_row(pass, which));
}

th_real *th_embed_gradient(const th_pass *pass, int which)
{
    int row = embed_row(pass, which);
    return pass->parameters->rows[row].trainable ? th_gradient(pass->parameters, row) : NULL;
}

th_code th_need_cut(const th_pass *pass, th_err *err)
{
    if (pass->lowest > 0)
        return TH_OK;
    return th_fail(err, TH_EUSAGE, "freeze its embeddings, or run the tower whole", __FILE__,
                   __LINE__, "the %s tower trains from the bottom: nothing is below a cut",
                   pass->tower == TH_IMAGE ? "image" : "text");
}

static int64_t tower_layers(const th_parameters *parameters, th_tower tower)
{
    return tower == TH_IMAGE ? parameters->model.image.layers : parameters->model.text.layers;
}

int th_tower_cut(const th_parameters *parameters, th_tower tower)
{
    int depth = 0;

    while (depth <= tower_layers(parameters, tower) + 1 &&
           !th_group_trainable(parameters, th_parameters_group(parameters, tower, depth)))
        depth++;
    return depth;
}

int64_t th_tower_cut_reals(const th_parameters *parameters, th_tower tower, int64_t tokens)
{
    const th_model_config *model = &parameters->model;
    int64_t                cut = th_tower_cut(parameters, tower);
    int64_t                layers = tower_layers(parameters, tower);
    int64_t                width = tower == TH_IMAGE ? model->image.width : model->text.width;

    if (tower == TH_IMAGE)
        tokens = th_patch_count(&model->image) + 1;
    return cut == 0 ? 0 : cut <= layers ? tokens * width : cut == layers + 1 ? width : model->embed;
}

int64_t th_pass_cut_reals(const th_pass *pass)
{
    const th_sequences *s = &pass->sequences;

    if (pass->lowest <= pass->layers)
        return pass->lowest ? s->tokens * pass->width : 0;
    return s->n * th_tower_cut_reals(pass->parameters, pass->tower, 1);
}

th_block th_pass_block(const th_pass *pass, int64_t layer)
{
    int group = th_parameters_group(pass->parameters, pass->tower, (int)layer + 1);

    return (th_block){ .parameters = pass->parameters,
                       .first_row = pass->parameters->groups[group].first_row,
                       .width = pass->width,
                       .heads = pass->heads,
                       .activation = pass->activation,
                       .eps = pass->eps,
                       .causal = pass->causal,
                       .post_norm = pass->post_norm,
                       .pooled = layer == pass->layers - 1 && th_pools_rows(pass) };
}

// What attention reads and writes: kept or not, a block cannot do without it.
static void carve_attention(th_carver *carver, const th_pass *pass, bool pooled, bool attended,
                            th_block_tape *block)
{
    int64_t W = pass->width, T = pass->sequences.tokens, n = pass->sequences.n;
    int64_t rows = pooled ? n : T;

    if (pooled) {
        block->q = th_carve_reals(carver, n * W);
        block->kv = th_carve_reals(carver, T * 2 * W);
        block->pooled_x = th_carve_reals(carver, n * W);
    } else {
        block->qkv = th_carve_reals(carver, T * 3 * W);
    }
    block->lse = th_carve_reals(carver, rows * pass->heads);
    if (attended)
        block->attended = th_carve_reals(carver, rows * W);
}

static void carve_block(th_carver *carver, const th_pass *pass, int64_t layer, th_block_tape *block)
{
    th_block shape = th_pass_block(pass, layer);
    bool     pooled = shape.pooled, post = shape.post_norm;
    int64_t  W = pass->width, T = pass->sequences.tokens, n = pass->sequences.n;
    int64_t  rows = pooled ? n : T;

    *block = (th_block_tape){ 0 };
    if (layer + 1 != pass->lowest)
        block->x = th_carve_reals(carver, T * W);
    // out_proj's weight gradient alone reads what attention gave.
    carve_attention(carver, pass, pooled, th_block_gradient(&shape, TH_OUT_WEIGHT), block);
    block->outer_mean = th_carve_reals(carver, post ? rows : T);
    block->outer_rstd = th_carve_reals(carver, post ? rows : T);
    block->mid = th_carve_reals(carver, rows * W);
    block->inner_mean = th_carve_reals(carver, rows);
    block->inner_rstd = th_carve_reals(carver, rows);
    block->u = th_carve_reals(carver, rows * 4 * W);
    if (post)
        block->sum = th_carve_reals(carver, rows * W);
    if (pooled && !post) {
        block->pooled_x_mean = th_carve_reals(carver, n);
        block->pooled_x_rstd = th_carve_reals(carver, n);
    }
}

th_tape *th_carve_tape(th_carver *carver, const th_pass *pass, bool keep)
{
    int64_t       n = pass->sequences.n, T = pass->sequences.tokens, W = pass->width;
    th_tape       local, *tape = th_carve(carver, 1, sizeof *tape);
    th_block_tape spare, *blocks = th_carve(carver, pass->layers, sizeof *blocks);

    local = (th_tape){ .pass = *pass, .blocks = blocks };
    local.pass.sequences.first = th_carve(carver, n + 1, sizeof(int64_t));
    local.pass.sequences.pooled = th_carve(carver, n, sizeof(int64_t));
    if (keep && pass->tower == TH_TEXT_TOWER && pass->lowest == 0)
        local.tokens = th_carve(carver, T, sizeof(int32_t));
    if (keep && pass->lowest == 0 && pass->first_norm) {
        local.z = th_carve_reals(carver, T * W);
        local.mean = th_carve_reals(carver, T);
        local.rstd = th_carve_reals(carver, T);
    }
    for (int64_t i = 0; i < pass->layers; i++) {
        th_block_tape *block = blocks && !carver->full ? &blocks[i] : &spare;
        *block = (th_block_tape){ 0 };
        if (keep && i + 1 >= pass->lowest)
            carve_block(carver, pass, i, block);
    }
    if (keep && pass->lowest <= pass->layers)
        local.top = th_carve_reals(carver, n * W);
    if (keep && pass->lowest <= pass->layers + 1 && pass->final_norm) {
        local.top_mean = th_carve_reals(carver, n);
        local.top_rstd = th_carve_reals(carver, n);
    }
    if (!tape || carver->full)
        return NULL;
    *tape = local;
    return tape;
}

static th_scratch carve_threads(th_carver *carver, const th_pass *pass)
{
    int64_t each = th_block_scratch_each(pass->width, pass->heads, pass->sequences.longest);
    int64_t patch = pass->patches ? th_chunk_most(th_unit_rows(pass->width * pass->patch_pixels),
                                                  TH_BLOCK_CHUNK) *
                                        (pass->patch_pixels + pass->width)
                                  : 0;

    each = ((each > patch ? each : patch) + 15) / 16 * 16;
    return (th_scratch){ .base = th_carve_reals(carver, each * omp_get_max_threads()),
                         .each = each };
}

th_forward_scratch th_carve_lower(th_carver *carver, const th_pass *pass)
{
    int64_t            n = pass->sequences.n, W = pass->width;
    th_forward_scratch scratch = { 0 };

    if (pass->lowest > pass->layers) {
        scratch.x = th_carve_reals(carver, pass->sequences.tokens * W);
        if (th_pools_rows(pass))
            carve_attention(carver, pass, true, false, &scratch.block);
    }
    if (pass->lowest > 1)
        carve_attention(carver, pass, false, true, &scratch.block);
    if (pass->lowest > pass->layers + 1) {
        scratch.top = th_carve_reals(carver, n * W);
        if (pass->final_norm)
            scratch.top_n = th_carve_reals(carver, n * W);
    }
    scratch.threads = carve_threads(carver, pass);
    return scratch;
}

th_forward_scratch th_carve_upper(th_carver *carver, const th_pass *pass, bool keep)
{
    int64_t            n = pass->sequences.n, W = pass->width;
    th_forward_scratch scratch = { 0 };

    if (pass->lowest <= pass->layers) {
        if (keep) {
            // Of a kept block only what out_proj reads may be missing, when that is frozen.
            scratch.block.attended = th_carve_reals(carver, pass->sequences.tokens * W);
            if (!th_pools_rows(pass))
                scratch.x = th_carve_reals(carver, pass->sequences.tokens * W);
        } else {
            // One set of buffers for the full blocks, and what the last one needs otherwise.
            scratch.x = th_carve_reals(carver, pass->sequences.tokens * W);
            if (th_pools_rows(pass))
                carve_attention(carver, pass, true, false, &scratch.block);
            carve_attention(carver, pass, false, true, &scratch.block);
            scratch.top = th_carve_reals(carver, n * W);
        }
        scratch.threads = carve_threads(carver, pass);
    }
    if (pass->lowest <= pass->layers + 1 && pass->final_norm)
        scratch.top_n = th_carve_reals(carver, n * W);
    return scratch;
}

static void carve_sums(th_carver *carver, const th_pass *pass, th_block_scratch *s)
{
    int64_t W = pass->width, unit = th_block_unit(W);
    int64_t units = th_unit_count(pass->sequences.tokens, unit);
    int64_t pooled = th_unit_count(pass->sequences.n, unit);

    s->sum_in = th_carve_reals(carver, units * 3 * W);
    s->sum_q = th_carve_reals(carver, pooled * W);
    s->sum_out = th_carve_reals(carver, units * W);
    s->sum_fc = th_carve_reals(carver, units * 4 * W);
    s->sum_proj = th_carve_reals(carver, units * W);
    for (int i = 0; i < 2; i++) {
        s->sum_outer[i] = th_carve_reals(carver, (units + pooled) * W);
        s->sum_inner[i] = th_carve_reals(carver, units * W);
    }
}

th_backward_scratch th_carve_backward(th_carver *carver, const th_pass *pass)
{
    int64_t             T = pass->sequences.tokens, n = pass->sequences.n, W = pass->width;
    int64_t             units = th_unit_count(T, th_block_unit(W));
    th_backward_scratch scratch = { 0 };
    th_block_scratch   *s = &scratch.block;

    scratch.d_top = th_carve_reals(carver, n * W);
    if (pass->final_norm) {
        scratch.top_n = th_carve_reals(carver, n * W);
        scratch.top_gamma = th_carve_reals(carver, units * W);
        scratch.top_beta = th_carve_reals(carver, units * W);
    }
    s->threads = carve_threads(carver, pass);
    if (pass->lowest > pass->layers)
        return scratch;
    scratch.dx = th_carve_reals(carver, T * W);
    s->g = th_carve_reals(carver, T * 4 * W);
    s->du = th_carve_reals(carver, T * 4 * W);
    s->n = th_carve_reals(carver, T * W);
    s->d_mid = th_carve_reals(carver, T * W);
    s->d_attended = th_carve_reals(carver, T * W);
    s->d_qkv = th_carve_reals(carver, T * 3 * W);
    s->dq = th_carve_reals(carver, n * W);
    s->d_kv = s->d_qkv; // a pooled block has no d_qkv
    s->pooled_n = th_carve_reals(carver, n * W);
    s->d_pooled = th_carve_reals(carver, n * W);
    carve_sums(carver, pass, s);
    if (pass->lowest == 0 && pass->patches) {
        scratch.patch_rows = th_carve_reals(carver, pass->patches * pass->patch_pixels);
        scratch.d_patches = th_carve_reals(carver, pass->patches * W);
    }
    if (pass->lowest == 0 && pass->first_norm)
        for (int i = 0; i < 2; i++)
            scratch.sum_first[i] = th_carve_reals(carver, units * W);
    return scratch;
}

th_code th_carve_cut(th_arena *arena, const th_pass *pass, th_real *features, th_real **out_rows,
                     th_err *err)
{
    th_carver carver = { .arena = arena };

    *out_rows = pass->lowest > pass->layers + 1 ? features
                                                : th_carve_reals(&carver, th_pass_cut_reals(pass));
    return carver.full ? th_arena_short(arena, err) : TH_OK;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void th_pass_bytes(const th_pass *pass, size_t *out_tape, size_t *out_scratch)
{
    th_carver tape = { 0 }, forward = { 0 }, backward = { 0 }, lower = { 0 }, bare = { 0 };

    if (pass->lowest <= pass->layers + 1)
        (void)th_carve_reals(&tape, th_pass_cut_reals(pass));
    lower.bytes = bare.bytes = tape.bytes;
    if (pass->lowest > 0) {
        (void)th_carve_tape(&lower, pass, false);
        (void)th_carve_lower(&lower, pass);
    }
    (void)th_carve_tape(&tape, pass, true);
    (void)th_carve_upper(&forward, pass, true);
    (void)th_carve_backward(&backward, pass);
    (void)th_carve_tape(&bare, pass, false);
    (void)th_carve_upper(&bare, pass, false);
    // 64 bytes: the arena may stand between two lines when the pass begins.
    *out_tape = tape.bytes + LINE_BYTES;
    *out_scratch =
        larger(larger(forward.bytes, backward.bytes), larger(lower.bytes, bare.bytes)) + LINE_BYTES;
}
