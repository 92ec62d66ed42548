// Every pair has a loss of its own, so a tile of similarities is used up where it is formed: one
// pass of three products, S = I T^T, dI += G T, dT += G^T I, where softmax needs S twice. And a
// rank need not hold the texts of the others: blocks of texts go round the ranks, one meets this
// rank's images at a time, and what dT has become goes round with it and comes home complete.
// Memory is that of two blocks, whatever the number of ranks. Block q is met by ranks q, q - 1, ..
// in this order: sums have the same bits in every run on as many ranks.
//
// With g_ij the derivative of a pair's loss by its logit s x_ij + bias,
//
//     dI = s / BK G T,    dT = s / BK G^T I,    dlogit_scale = <I, dI>,    dlogit_bias = 1 / BK sum
//     g
//
// Pairs that belong together lie on the diagonal of a rank's own block. The kernel takes all pairs
// for such as do not; these few are set aside before it (TH_MASKED adds nothing) and added in
// double.
#include "trainer/loss/pairwise.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "comm/ring.h"
#include "trainer/loss/duplicates.h"
#include "trainer/loss/sigmoid.h"
#include "trainer/loss/tiles.h"
#include "trainer/nn/gemm.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

struct pass {
    const th_contrastive_input *in;
    th_contrastive_output      *out;
    int64_t                     count, most; // samples of this rank, and of the longest slice
    bool                        own;         // the block that is here is this rank's own
    const th_real              *text;        // [visitors, K, d] the block that is here
    th_real                    *d_text;      // [visitors, K, d] or NULL: its gradient so far
    th_real                    *visit_text, *visit_d_text; // [most, K, d] of the ring
    uint64_t                   *visit_key;                 // [most, K]
    th_duplicates               duplicates;
    th_tiles                    tiles;
    double                     *loss, *slope; // [count] by image
    th_real                    *scratch;      // [threads, side, side]
    size_t                      scratch_count;
    th_real                     scale, bias;
};

// Takes the own pairs out of a tile on the diagonal, where their similarities stood in `pairs`.
static void set_pairs_aside(th_real *tile, int64_t count, int64_t columns, th_real *pairs)
{
    for (int64_t i = 0; i < count; i++) {
        pairs[i] = tile[i * columns + i];
        tile[i * columns + i] = TH_MASKED;
    }
}

static void add_pairs(const struct pass *pass, int64_t first, int64_t count, int64_t columns,
                      const th_real *pairs, th_real *tile)
{
    for (int64_t i = 0; i < count; i++) {
        double slope;
        pass->loss[first + i] += th_sigmoid_pair(pairs[i], pass->scale, pass->bias, &slope);
        pass->slope[first + i] += slope;
        tile[i * columns + i] = (th_real)slope;
    }
}

static void meet_tile(void *context, const th_tile_span *row, const th_tile_span *column)
{
    const struct pass *pass = context;
    int64_t            d = pass->in->d, K = pass->in->K, rows = row->count, columns = column->count;
    bool               pairs_here = pass->own && row->first == column->first;
    const th_real     *image = pass->in->image + row->first * d;
    th_real           *tile = pass->scratch + (size_t)omp_get_thread_num() * pass->scratch_count;
    th_real            pairs[TH_TILE_LARGEST];

    for (int64_t k = 0; k < K; k++) {
        int64_t        at = (column->first * K + k) * d;
        const th_real *text = pass->text + at;

        th_gemm(TH_AS_IS, TH_TRANSPOSED, rows, columns, d, image, d, text, K * d, 0, tile, columns);
        if (pass->in->mask_duplicates)
            th_duplicates_mask(&pass->duplicates, k, row->first, rows, column->first, columns,
                               pass->own ? 0 : pass->in->B, tile);
        if (pairs_here)
            set_pairs_aside(tile, rows, columns, pairs);
        th_sigmoid_tile(tile, rows, columns, pass->scale, pass->bias, pass->loss + row->first,
                        pass->slope + row->first);
        if (pairs_here)
            add_pairs(pass, row->first, rows, columns, pairs, tile);
        if (pass->in->backward && pass->out->d_image)
            th_gemm(TH_AS_IS, TH_AS_IS, rows, d, columns, tile, columns, text, K * d, 1,
                    pass->out->d_image + row->first * d, d);
        if (pass->d_text)
            th_gemm(TH_TRANSPOSED, TH_AS_IS, columns, d, rows, tile, columns, image, d, 1,
                    pass->d_text + at, K * d);
    }
}

// This rank's images and the block of texts of rank `owner`, which is here.
static void meet(struct pass *pass, int64_t side, int64_t visitors, bool own)
{
    const th_contrastive_input *in = pass->in;

    pass->own = own;
    if (in->mask_duplicates)
        th_duplicates_find(&pass->duplicates, in->key, pass->count,
                           pass->visit_key ? pass->visit_key : in->key, visitors);
    th_tiles_cut_block(&pass->tiles, side, pass->count, visitors);
    th_tiles_walk(&pass->tiles, TH_OWN_ROWS, meet_tile, pass);
}

// All blocks pass by. A block of texts need not come home at the end, its gradient must.
static th_code go_round(th_world *world, struct pass *pass, th_err *err)
{
    const th_contrastive_input *in = pass->in;
    int                         W = world->size;
    size_t                      texts = (size_t)(pass->most * in->K), d = (size_t)in->d;
    int64_t                     side = th_tile_side(pass->most);
    th_code                     rc = TH_OK;

    for (int turn = 0; turn < W; turn++) {
        int owner = (world->rank + turn) % W;
        meet(pass, side, th_slice_count(in->B, W, owner), turn == 0);
        if (pass->visit_d_text)
            TH_TRY(th_ring_pass(world, pass->visit_d_text, texts * d * sizeof(th_real), err));
        if (turn + 1 < W) {
            TH_TRY(th_ring_pass(world, pass->visit_text, texts * d * sizeof(th_real), err));
            if (pass->visit_key)
                TH_TRY(th_ring_pass(world, pass->visit_key, texts * sizeof(uint64_t), err));
        }
    }
out:
    return rc;
}

static bool wants_d_text(const th_contrastive_input *in, const th_contrastive_output *out)
{
    return in->backward && out->d_text;
}

static th_code take(const th_world *world, struct pass *pass, th_arena *arena, th_err *err)
{
    const th_contrastive_input *in = pass->in;
    bool                        ring = world->size > 1;
    size_t                      side = (size_t)th_tile_side(pass->most), d = (size_t)in->d;
    size_t                      rows = (size_t)pass->most, texts = rows * (size_t)in->K;
    th_code                     rc = TH_OK;

    pass->scratch_count = side * side;
    pass->scratch = th_arena_take(arena, (size_t)omp_get_max_threads() * pass->scratch_count,
                                  sizeof *pass->scratch);
    pass->loss = th_arena_take(arena, rows, sizeof *pass->loss);
    pass->slope = th_arena_take(arena, rows, sizeof *pass->slope);
    if (ring)
        pass->visit_text = th_arena_take(arena, texts * d, sizeof *pass->visit_text);
    if (ring && wants_d_text(in, pass->out))
        pass->visit_d_text = th_arena_take(arena, texts * d, sizeof *pass->visit_d_text);
    if (ring && in->mask_duplicates)
        pass->visit_key = th_arena_take(arena, texts, sizeof *pass->visit_key);
    TH_CHECK(pass->scratch && pass->loss && pass->slope && (!ring || pass->visit_text) &&
                 (!ring || !wants_d_text(in, pass->out) || pass->visit_d_text) &&
                 (!ring || !in->mask_duplicates || pass->visit_key),
             TH_EIO, "plan the arena with th_contrastive_bytes",
             "could not begin the loss of %lld samples: the arena is full", (long long)in->B);
    TH_TRY(th_tiles_take(th_tile_side(pass->most), pass->most, arena, &pass->tiles, err));
    if (in->mask_duplicates)
        TH_TRY(th_duplicates_take(pass->most, pass->most, in->K, arena, &pass->duplicates, err));
out:
    return rc;
}

size_t th_pairwise_bytes(const th_world *world, const th_contrastive_input *in)
{
    int64_t most = th_slice_count(in->B, world->size, 0), side = th_tile_side(most);
    size_t  rows = (size_t)most, texts = rows * (size_t)in->K, roundings = 6 * (size_t)64;
    size_t  block = texts * (size_t)in->d * sizeof(th_real);
    size_t  bytes = (size_t)omp_get_max_threads() * (size_t)(side * side) * sizeof(th_real) +
                   2 * rows * sizeof(double) + th_tiles_block_bytes(side, most) + roundings;

    if (world->size > 1)
        bytes += (in->backward ? 2 : 1) * block + in->mask_duplicates * texts * sizeof(uint64_t);
    if (in->mask_duplicates)
        bytes += th_duplicates_bytes(most, most, in->K);
    return bytes;
}

// What is here first is this rank's own block, in the ring's memory where there is one.
static void start(const th_world *world, struct pass *pass)
{
    const th_contrastive_input *in = pass->in;
    size_t                      texts = (size_t)(pass->count * in->K), d = (size_t)in->d;

    memset(pass->loss, 0, (size_t)pass->count * sizeof *pass->loss);
    memset(pass->slope, 0, (size_t)pass->count * sizeof *pass->slope);
    pass->text = in->text;
    if (world->size > 1) {
        memcpy(pass->visit_text, in->text, texts * d * sizeof *in->text);
        pass->text = pass->visit_text;
    }
    if (pass->visit_key)
        memcpy(pass->visit_key, in->key, texts * sizeof *in->key);
    if (wants_d_text(in, pass->out)) {
        pass->d_text = pass->visit_d_text ? pass->visit_d_text : pass->out->d_text;
        memset(pass->d_text, 0, texts * d * sizeof *pass->d_text);
    }
    if (in->backward && pass->out->d_image)
        memset(pass->out->d_image, 0, (size_t)pass->count * d * sizeof *pass->out->d_image);
}

// The gradients of the logits become those of the features, the texts' from where they came home.
static void finish(const struct pass *pass)
{
    const th_contrastive_input *in = pass->in;
    int64_t                     images = pass->count * in->d, texts = images * in->K;
    th_real weight = (th_real)((double)pass->scale / ((double)in->B * (double)in->K));

    if (in->backward && pass->out->d_image)
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < images; i++)
            pass->out->d_image[i] *= weight;
    if (pass->d_text)
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < texts; i++)
            pass->out->d_text[i] = pass->d_text[i] * weight;
}

static double dot(const th_real *a, const th_real *b, int64_t count)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

// This rank's part of the loss, of d_logit_scale and of d_logit_bias.
static void add_up(const struct pass *pass, double sums[3])
{
    const th_contrastive_input  *in = pass->in;
    const th_contrastive_output *out = pass->out;
    double                       pairings = (double)in->B * (double)in->K;

    for (int64_t i = 0; i < pass->count; i++) {
        sums[0] += pass->loss[i] / pairings;
        sums[2] += pass->slope[i] / pairings;
    }
    if (in->backward)
        sums[1] = out->d_image ? dot(in->image, out->d_image, pass->count * in->d)
                               : dot(in->text, out->d_text, pass->count * in->K * in->d);
}

th_code th_pairwise(th_world *world, const th_contrastive_input *in, th_arena *arena,
                    th_contrastive_output *out, th_err *err)
{
    th_code     rc = TH_OK;
    size_t      mark = arena->used_bytes;
    double      sums[3] = { 0 };
    struct pass pass = { .in = in,
                         .out = out,
                         .count = th_slice_count(in->B, world->size, world->rank),
                         .most = th_slice_count(in->B, world->size, 0),
                         .scale = (th_real)exp((double)in->logit_scale),
                         .bias = in->logit_bias };

    assert(in->B > 0 && in->K > 0 && in->d > 0);
    assert(!in->backward || out->d_image || out->d_text);
    TH_TRY(th_agree(world, take(world, &pass, arena, err), err));
    start(world, &pass);
    TH_TRY(go_round(world, &pass, err));
    finish(&pass);
    add_up(&pass, sums);
    TH_TRY(th_world_sum(world, sums, 3, err));
    out->loss = sums[0];
    out->d_logit_scale = sums[1];
    out->d_logit_bias = in->backward ? sums[2] : 0;
out:
    th_arena_rewind(arena, mark);
    return rc;
}
