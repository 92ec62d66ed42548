// Forward walks the tiles of this rank's images by all texts: their rows give complete
// log-sum-exps, their columns a part, which is combined over the ranks: 2 B numbers, where a second
// product would cost a fifth of the step. Backward forms the tiles again, now those of this rank's
// images or texts: an image tile gives dI += G T, a text tile dT += G^T I, and on one rank every
// tile is both, so that S serves twice. With P the softmax of the rows and Q that of the columns,
//
//     dI = s / 2BK (P + Q - 2 1) T,     dT = s / 2BK (P + Q - 2 1)^T I,     dlogit_scale = <I, dI>
//
// A log-sum-exp of s x is kept as the largest x and sum exp(s (x - largest)): the largest is one of
// the tile's own numbers, so that the difference is exact where it matters, and a loss of 1e-6 at a
// logit of 14 keeps its digits.
//
// Duplicates are set to TH_MASKED between the product and the softmax. Where a tile has nothing
// else in a row or column, that is its maximum for a while; the pair itself is never masked, and
// when its tile comes, what was summed up before is multiplied by exp(-1e30 s) = 0.
#include "trainer/loss/contrastive.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/loss/duplicates.h"
#include "trainer/loss/pairwise.h"
#include "trainer/loss/softmax.h"
#include "trainer/loss/tiles.h"
#include "trainer/nn/gemm.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#define PIECE 8192 // columns combined at a time: the ranks' parts take W * 64 KiB

// One softmax direction: [K, B] each.
struct softmax {
    th_real *max, *inverse; // inverse = 1 / sum
    double  *sum;
};

struct pass {
    const th_contrastive_input *in;
    th_contrastive_output      *out;
    int64_t                     first, count; // this rank's samples
    th_tiles                    tiles;
    th_duplicates               duplicates;
    struct softmax              row, column;
    th_real                    *diagonal; // [K, B] I_i.T_ki of this rank's samples
    th_real                    *scratch;  // [threads, side, side]
    size_t                      scratch_count;
    th_real                     scale;
};

static const th_real *image_rows(const struct pass *pass, const th_tile_span *span)
{
    return pass->in->image + span->first * pass->in->d;
}

// Caption k of a span: rows that lie K * d apart.
static const th_real *text_rows(const struct pass *pass, const th_tile_span *span, int64_t k)
{
    return pass->in->text + (span->first * pass->in->K + k) * pass->in->d;
}

static th_real *similarities(const struct pass *pass, const th_tile_span *row,
                             const th_tile_span *column, int64_t k)
{
    int64_t  d = pass->in->d;
    th_real *tile = pass->scratch + (size_t)omp_get_thread_num() * pass->scratch_count;

    th_gemm(TH_AS_IS, TH_TRANSPOSED, row->count, column->count, d, image_rows(pass, row), d,
            text_rows(pass, column, k), pass->in->K * d, 0, tile, column->count);
    if (pass->in->mask_duplicates)
        th_duplicates_mask(&pass->duplicates, k, row->first, row->count, column->first,
                           column->count, 0, tile);
    return tile;
}

// The sums so far were taken from the maximum so far, which before the first tile is -infinity.
static void rescale(const struct pass *pass, int64_t count, const th_real *before,
                    const th_real *now, double *sum)
{
    for (int64_t i = 0; i < count; i++)
        if (sum[i] > 0 && before[i] != now[i])
            sum[i] *= exp((double)pass->scale * ((double)before[i] - (double)now[i]));
}

static void forward_tile(void *context, const th_tile_span *row, const th_tile_span *column)
{
    const struct pass *pass = context;
    th_real            row_before[TH_TILE_LARGEST], column_before[TH_TILE_LARGEST];

    for (int64_t k = 0; k < pass->in->K; k++) {
        const th_real *tile = similarities(pass, row, column, k);
        int64_t        r = k * pass->in->B + row->first, c = k * pass->in->B + column->first;

        memcpy(row_before, pass->row.max + r, (size_t)row->count * sizeof *row_before);
        memcpy(column_before, pass->column.max + c, (size_t)column->count * sizeof *column_before);
        th_softmax_max(tile, row->count, column->count, pass->row.max + r, pass->column.max + c);
        rescale(pass, row->count, row_before, pass->row.max + r, pass->row.sum + r);
        rescale(pass, column->count, column_before, pass->column.max + c, pass->column.sum + c);
        th_softmax_sum(tile, row->count, column->count, pass->scale, pass->row.max + r,
                       pass->column.max + c, pass->row.sum + r, pass->column.sum + c);
        for (int64_t i = 0; row == column && i < row->count; i++)
            pass->diagonal[r + i] = tile[i * column->count + i];
    }
}

static void backward_tile(void *context, const th_tile_span *row, const th_tile_span *column)
{
    const struct pass *pass = context;
    int64_t            d = pass->in->d, K = pass->in->K;

    for (int64_t k = 0; k < K; k++) {
        th_real *tile = similarities(pass, row, column, k);
        int64_t  r = k * pass->in->B + row->first, c = k * pass->in->B + column->first;

        th_softmax_both(tile, row->count, column->count, pass->scale, pass->row.max + r,
                        pass->row.inverse + r, pass->column.max + c, pass->column.inverse + c);
        for (int64_t i = 0; row == column && i < row->count; i++)
            tile[i * column->count + i] -= 2;
        if (row->own && pass->out->d_image)
            th_gemm(TH_AS_IS, TH_AS_IS, row->count, d, column->count, tile, column->count,
                    text_rows(pass, column, k), K * d, 1,
                    pass->out->d_image + (row->first - pass->first) * d, d);
        if (column->own && pass->out->d_text)
            th_gemm(TH_TRANSPOSED, TH_AS_IS, column->count, d, row->count, tile, column->count,
                    image_rows(pass, row), d, 1,
                    pass->out->d_text + ((column->first - pass->first) * K + k) * d, K * d);
    }
}

// Every rank has summed its images into every column: bring these sums to the largest maximum of
// all ranks and add them, in rank order.
static th_code combine_columns(th_world *world, struct pass *pass, th_err *err)
{
    th_code rc = TH_OK;
    double  numbers[PIECE];
    int64_t total = pass->in->B * pass->in->K;

    for (int64_t from = 0; from < total && world->size > 1; from += PIECE) {
        int      count = (int)(total - from < PIECE ? total - from : PIECE);
        th_real *max = pass->column.max + from;
        double  *sum = pass->column.sum + from;

        for (int j = 0; j < count; j++)
            numbers[j] = (double)max[j];
        TH_TRY(th_world_max(world, numbers, count, err));
        for (int j = 0; j < count; j++) {
            if (sum[j] > 0 && numbers[j] != (double)max[j])
                sum[j] *= exp((double)pass->scale * ((double)max[j] - numbers[j]));
            max[j] = (th_real)numbers[j];
        }
        TH_TRY(th_world_sum(world, sum, count, err));
    }
out:
    return rc;
}

// Row maxima and inverses of all ranks: the columns of this rank's texts run over all images.
static th_code gather_rows(th_world *world, const struct pass *pass, th_err *err)
{
    th_code rc = TH_OK;

    for (int64_t part = 0; part < 2 * pass->in->K; part++) {
        th_real   *all = part % 2 ? pass->row.inverse : pass->row.max;
        th_gather *gather = NULL;
        all += part / 2 * pass->in->B;
        TH_TRY(
            th_gather_start(world, all + pass->first, pass->in->B, sizeof *all, all, &gather, err));
        TH_TRY(th_gather_finish(gather, err));
    }
out:
    return rc;
}

static void invert(const struct softmax *softmax, int64_t total)
{
    for (int64_t i = 0; i < total; i++)
        softmax->inverse[i] = (th_real)(1 / softmax->sum[i]);
}

// 2BK times this rank's part of the loss. log(sum) + s (maximum - x_ii): where the pair itself is
// the maximum, the bracket is exactly 0.
static double local_loss(const struct pass *pass)
{
    double loss = 0, scale = (double)pass->scale;

    for (int64_t k = 0; k < pass->in->K; k++) {
        for (int64_t i = 0; i < pass->count; i++) {
            int64_t at = k * pass->in->B + pass->first + i;
            double  diagonal = (double)pass->diagonal[at];
            loss += log(pass->row.sum[at]) + scale * ((double)pass->row.max[at] - diagonal);
            loss += log(pass->column.sum[at]) + scale * ((double)pass->column.max[at] - diagonal);
        }
    }
    return loss;
}

static double dot(const th_real *a, const th_real *b, int64_t count)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

// <I, dI> = <T, dT>: whichever gradient was asked for.
static double local_d_logit_scale(const struct pass *pass)
{
    const th_contrastive_input *in = pass->in;

    if (pass->out->d_image)
        return dot(in->image + pass->first * in->d, pass->out->d_image, pass->count * in->d);
    return dot(in->text + pass->first * in->K * in->d, pass->out->d_text,
               pass->count * in->K * in->d);
}

static void multiply(th_real *values, int64_t count, th_real factor)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        values[i] *= factor;
}

static void backward(const struct pass *pass)
{
    const th_contrastive_input  *in = pass->in;
    const th_contrastive_output *out = pass->out;
    int64_t         images = pass->count * in->d, texts = images * in->K; // numbers in a gradient
    th_real         weight = (th_real)((double)pass->scale / (2 * (double)in->B * (double)in->K));
    th_tiles_wanted wanted = !out->d_image  ? TH_OWN_COLUMNS
                             : !out->d_text ? TH_OWN_ROWS
                                            : TH_OWN_EITHER;

    if (out->d_image)
        memset(out->d_image, 0, (size_t)images * sizeof *out->d_image);
    if (out->d_text)
        memset(out->d_text, 0, (size_t)texts * sizeof *out->d_text);
    th_tiles_walk(&pass->tiles, wanted, backward_tile, (void *)(uintptr_t)pass);
    if (out->d_image)
        multiply(out->d_image, images, weight);
    if (out->d_text)
        multiply(out->d_text, texts, weight);
}

static bool take_softmax(th_arena *arena, size_t total, struct softmax *out)
{
    out->max = th_arena_take(arena, total, sizeof *out->max);
    out->inverse = th_arena_take(arena, total, sizeof *out->inverse);
    out->sum = th_arena_take(arena, total, sizeof *out->sum);
    if (!out->max || !out->inverse || !out->sum)
        return false;
    memset(out->sum, 0, total * sizeof *out->sum);
    for (size_t i = 0; i < total; i++)
        out->max[i] = -(th_real)INFINITY;
    return true;
}

static th_code take(const th_world *world, struct pass *pass, th_arena *arena, th_err *err)
{
    th_code rc = TH_OK;
    size_t  total = (size_t)(pass->in->B * pass->in->K);
    size_t  side = (size_t)th_tile_side(pass->in->B);

    pass->scratch_count = side * side;
    pass->scratch = th_arena_take(arena, (size_t)omp_get_max_threads() * pass->scratch_count,
                                  sizeof *pass->scratch);
    pass->diagonal = th_arena_take(arena, total, sizeof *pass->diagonal);
    TH_CHECK(pass->scratch && pass->diagonal && take_softmax(arena, total, &pass->row) &&
                 take_softmax(arena, total, &pass->column),
             TH_EIO, "plan the arena with th_contrastive_bytes",
             "could not begin the loss of %lld samples: the arena is full", (long long)pass->in->B);
    TH_TRY(th_tiles_cut(world, pass->in->B, arena, &pass->tiles, err));
    if (pass->in->mask_duplicates)
        TH_TRY(th_duplicates_take(pass->in->B, pass->in->B, pass->in->K, arena, &pass->duplicates,
                                  err));
out:
    return rc;
}

size_t th_contrastive_bytes(const th_world *world, const th_contrastive_input *in)
{
    size_t total = (size_t)(in->B * in->K), side = (size_t)th_tile_side(in->B);
    size_t threads = (size_t)omp_get_max_threads(), roundings = 8 * (size_t)64;

    if (in->kind == TH_SIGMOID_LOSS)
        return th_pairwise_bytes(world, in);
    return total * (5 * sizeof(th_real) + 2 * sizeof(double)) +
           threads * side * side * sizeof(th_real) + th_tiles_bytes(in->B) + roundings +
           (in->mask_duplicates ? th_duplicates_bytes(in->B, in->B, in->K) : 0);
}

static th_code softmax_loss(th_world *world, const th_contrastive_input *in, th_arena *arena,
                            th_contrastive_output *out, th_err *err)
{
    th_code     rc = TH_OK;
    size_t      mark = arena->used_bytes;
    double      pairs = 2 * (double)in->B * (double)in->K, sums[2] = { 0 };
    struct pass pass = { .in = in,
                         .out = out,
                         .first = th_slice_first(in->B, world->size, world->rank),
                         .count = th_slice_count(in->B, world->size, world->rank),
                         .scale = (th_real)exp((double)in->logit_scale) };

    assert(in->B > 0 && in->K > 0 && in->d > 0);
    assert(!in->backward || out->d_image || out->d_text);
    TH_TRY(th_agree(world, take(world, &pass, arena, err), err));
    if (in->mask_duplicates)
        th_duplicates_find(&pass.duplicates, in->key, in->B, in->key, in->B);
    th_tiles_walk(&pass.tiles, TH_OWN_ROWS, forward_tile, &pass);
    TH_TRY(combine_columns(world, &pass, err));
    sums[0] = local_loss(&pass);
    if (in->backward) {
        invert(&pass.row, in->B * in->K);
        invert(&pass.column, in->B * in->K);
        TH_TRY(gather_rows(world, &pass, err));
        backward(&pass);
        sums[1] = local_d_logit_scale(&pass);
    }
    TH_TRY(th_world_sum(world, sums, 2, err));
    out->loss = sums[0] / pairs;
    out->d_logit_scale = sums[1];
    out->d_logit_bias = 0;
out:
    th_arena_rewind(arena, mark);
    return rc;
}

th_code th_contrastive(th_world *world, const th_contrastive_input *in, th_arena *arena,
                       th_contrastive_output *out, th_err *err)
{
    if (in->kind == TH_SIGMOID_LOSS)
        return th_pairwise(world, in, arena, out, err);
    return softmax_loss(world, in, arena, out, err);
}
