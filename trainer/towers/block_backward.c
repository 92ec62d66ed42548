/* Backward of a block in four phases, each one region:
 *   1 by row:  (ln_2,) c_proj, activation, c_fc, inner norm, out_proj
 *              -> g, du, output of the inner norm, d_mid, d_attended
 *   2          attention by (sequence, head); weights of c_proj, c_fc, out_proj by column
 *   3 by row:  in_proj (, ln_1)  -> (ln_1(x),) dx
 *   4          weight of in_proj by column
 * In parentheses the outer norm: ln_2 with post_norm, else ln_1.
 * What forward did not keep (activation, outputs of the norms) is formed again on the way. */
#include "trainer/nn/gelu.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"
#include "trainer/towers/block.h"

// Where the sums of a unit go: NULL when the row is frozen.
static th_real *sums_of(const th_block *block, int row, th_real *sums, int64_t unit,
                        int64_t columns)
{
    return th_block_gradient(block, row) ? sums + unit * columns : NULL;
}

static bool norm_trains(const th_block *block, int weight_row)
{
    return th_block_gradient(block, weight_row) || th_block_gradient(block, weight_row + 1);
}

// ln's backward over the rows of a chunk, with its sums unit by unit.
static void norm_backward(const th_block *block, int weight_row, int64_t rows, th_chunk c,
                          const th_real *dy, const th_real *x, const th_real *mean,
                          const th_real *rstd, const th_real *residual, th_real *dx,
                          th_real *const sums[2], int64_t first_sum)
{
    int64_t W = block->width;
    bool    trains = norm_trains(block, weight_row);

    for (int64_t i = c.unit; i < c.unit + c.units; i++) {
        th_rows r = th_unit_run(rows, th_block_unit(W), i, 1);
        int64_t at = r.first * W;
        th_layernorm_backward(dy + (r.first - c.first) * W, x + at, r.count, W,
                              th_block_weight(block, weight_row), mean + r.first, rstd + r.first,
                              residual ? residual + at : NULL, dx + at,
                              trains ? sums[0] + (first_sum + i) * W : NULL,
                              trains ? sums[1] + (first_sum + i) * W : NULL);
    }
}

// y += x, count numbers.
static void add_to(const th_real *x, int64_t count, th_real *y)
{
#pragma omp simd
    for (int64_t j = 0; j < count; j++)
        y[j] += x[j];
}

// c_proj, activation, c_fc over the rows of a chunk: from dy [rows, W], the gradient of what c_proj
// gave, to d_n, that of what c_fc took.
static void mlp_backward(const th_block *block, int64_t rows, th_chunk c, const th_real *u,
                         const th_real *dy, const th_block_scratch *s, th_real *d_n)
{
    int64_t W = block->width, at = c.first * W;

    th_linear_backward_input(dy + at, c.count, 4 * W, W, th_block_weight(block, TH_PROJ_WEIGHT),
                             s->du + 4 * at);
    for (int64_t i = c.unit; i < c.unit + c.units; i++) {
        th_rows  r = th_unit_run(rows, th_block_unit(W), i, 1);
        th_real *sum = sums_of(block, TH_PROJ_BIAS, s->sum_proj, i, W);
        th_activate_backward(block->activation, u + 4 * r.first * W, r.count, 4 * W,
                             s->du + 4 * r.first * W, s->g + 4 * r.first * W,
                             sums_of(block, TH_FC_BIAS, s->sum_fc, i, 4 * W));
        if (sum)
            th_sum_rows(dy + r.first * W, r.count, W, sum);
    }
    th_linear_backward_input(s->du + 4 * at, c.count, W, 4 * W,
                             th_block_weight(block, TH_FC_WEIGHT), d_n);
}

// From the gradient of the block's output to that of the attention's. With post_norm d_out becomes
// the gradient of `sum`, behind ln_2: in both cases it is then that of what c_proj gave.
static void rows_above_attention(const th_block *block, int64_t rows, const th_block_tape *tape,
                                 th_real *d_out, const th_block_scratch *s, th_real *mine)
{
    int64_t  W = block->width, unit = th_block_unit(W);
    int      inner = th_block_inner(block);
    bool     post = block->post_norm;
    th_chunk c;

    for (th_walk walk = th_walk_share(rows, unit, TH_BLOCK_CHUNK); th_walk_next(&walk, &c);) {
        int64_t at = c.first * W;

        if (post)
            norm_backward(block, TH_LN2_WEIGHT, rows, c, d_out + at, tape->sum, tape->outer_mean,
                          tape->outer_rstd, NULL, d_out, s->sum_outer, 0);
        mlp_backward(block, rows, c, tape->u, d_out, s, mine);
        if (th_block_gradient(block, TH_FC_WEIGHT))
            th_layernorm_again(tape->mid + at, c.count, W, th_block_weight(block, inner),
                               th_block_weight(block, inner + 1), tape->inner_mean + c.first,
                               tape->inner_rstd + c.first, s->n + at);
        // The residual of the MLP begins behind the norm here, before it there.
        if (post)
            add_to(d_out + at, c.count * W, mine);
        norm_backward(block, inner, rows, c, mine, tape->mid, tape->inner_mean, tape->inner_rstd,
                      post ? NULL : d_out, s->d_mid, s->sum_inner, 0);
        for (int64_t i = c.unit; i < c.unit + c.units; i++) {
            th_rows  r = th_unit_run(rows, unit, i, 1);
            th_real *sum = sums_of(block, TH_OUT_BIAS, s->sum_out, i, W);
            if (sum)
                th_sum_rows(s->d_mid + r.first * W, r.count, W, sum);
        }
        th_linear_backward_input(s->d_mid + at, c.count, W, W,
                                 th_block_weight(block, TH_OUT_WEIGHT), s->d_attended + at);
    }
}

static void weight_share(const th_block *block, int row, const th_real *dy, const th_real *x,
                         int64_t rows, int64_t in, int64_t out, bool add)
{
    th_real *gradient = th_block_gradient(block, row);
    if (gradient)
        th_linear_backward_weight_share(dy, x, rows, in, out, add, gradient);
}

static void fold_norm_share(const th_block *block, int weight_row, th_real *const sums[2],
                            int64_t units, bool add)
{
    for (int i = 0; i < 2; i++)
        th_fold_share(sums[i], units, block->width, add, th_block_gradient(block, weight_row + i));
}

// Of what rows_above_attention went through.
static void weights_above_attention_share(const th_block *block, int64_t rows,
                                          const th_block_tape *tape, const th_real *dy,
                                          const th_block_scratch *s, bool add)
{
    int64_t W = block->width, units = th_unit_count(rows, th_block_unit(W));

    weight_share(block, TH_PROJ_WEIGHT, dy, s->g, rows, 4 * W, W, add);
    weight_share(block, TH_FC_WEIGHT, s->du, s->n, rows, W, 4 * W, add);
    weight_share(block, TH_OUT_WEIGHT, s->d_mid, tape->attended, rows, W, W, add);
    th_fold_share(s->sum_proj, units, W, add, th_block_gradient(block, TH_PROJ_BIAS));
    th_fold_share(s->sum_fc, units, 4 * W, add, th_block_gradient(block, TH_FC_BIAS));
    th_fold_share(s->sum_out, units, W, add, th_block_gradient(block, TH_OUT_BIAS));
    fold_norm_share(block, th_block_inner(block), s->sum_inner, units, add);
    if (block->post_norm)
        fold_norm_share(block, TH_LN2_WEIGHT, s->sum_outer, units, add);
}

// One run of rows through in_proj's rows first_out .. first_out + out - 1 and, where it stands
// before them, ln_1.
typedef struct {
    int64_t        rows, first_out, out;
    const th_real *dy;              // [rows, out]
    const th_real *x, *mean, *rstd; // input of the block, and its statistics
    const th_real *residual;        // [rows, W] or NULL
    th_real       *n;               // [rows, W] ln_1(x), formed again; not with post_norm
    th_real       *dx;              // [rows, W]
    th_real       *sum_bias;        // [units, out]
    int64_t        first_sum;       // unit of the ln_1 sums that the first unit of rows adds to
} in_proj_run;

static void in_proj_rows(const th_block *block, const in_proj_run *run, bool need_dx,
                         const th_block_scratch *s, th_real *mine)
{
    int64_t        W = block->width, unit = th_block_unit(W);
    const th_real *weight = th_block_weight(block, TH_IN_WEIGHT) + run->first_out * W;
    th_chunk       c;

    for (th_walk walk = th_walk_share(run->rows, unit, TH_BLOCK_CHUNK); th_walk_next(&walk, &c);) {
        for (int64_t i = c.unit; i < c.unit + c.units; i++) {
            th_rows  r = th_unit_run(run->rows, unit, i, 1);
            th_real *sum = sums_of(block, TH_IN_BIAS, run->sum_bias, i, run->out);
            if (sum)
                th_sum_rows(run->dy + r.first * run->out, r.count, run->out, sum);
        }
        if (th_block_gradient(block, TH_IN_WEIGHT) && !block->post_norm)
            th_layernorm_again(run->x + c.first * W, c.count, W,
                               th_block_weight(block, TH_LN1_WEIGHT),
                               th_block_weight(block, TH_LN1_BIAS), run->mean + c.first,
                               run->rstd + c.first, run->n + c.first * W);
        if (!need_dx)
            continue;
        th_real *d_in = block->post_norm ? run->dx + c.first * W : mine;
        th_linear_backward_input(run->dy + c.first * run->out, c.count, W, run->out, weight, d_in);
        if (!block->post_norm)
            norm_backward(block, TH_LN1_WEIGHT, run->rows, c, d_in, run->x, run->mean, run->rstd,
                          run->residual, run->dx, s->sum_outer, run->first_sum);
        else if (run->residual)
            add_to(run->residual + c.first * W, c.count * W, d_in);
    }
}

static void in_proj_weights_share(const th_block *block, const in_proj_run *run, bool add)
{
    int64_t  W = block->width, units = th_unit_count(run->rows, th_block_unit(W));
    th_real *weight = th_block_gradient(block, TH_IN_WEIGHT);
    th_real *bias = th_block_gradient(block, TH_IN_BIAS);

    if (weight)
        th_linear_backward_weight_share(run->dy, block->post_norm ? run->x : run->n, run->rows, W,
                                        run->out, add, weight + run->first_out * W);
    if (bias)
        th_fold_share(run->sum_bias, units, run->out, add, bias + run->first_out);
}

// The gradient of the pooled rows of x joins that of all rows.
static void scatter_pooled_share(const th_sequences *sequences, int64_t W, const th_real *d_pooled,
                                 th_real *dx)
{
    th_rows mine = th_share(sequences->n, 1);

    for (int64_t i = mine.first; i < mine.first + mine.count; i++)
        add_to(d_pooled + i * W, W, dx + sequences->pooled[i] * W);
}

void th_block_backward(const th_block *block, const th_sequences *sequences,
                       const th_block_tape *tape, th_real *d_out, bool add, bool lowest,
                       th_block_scratch *s, th_real *dx, void (*drive)(void *context),
                       void *context)
{
    int64_t      W = block->width, T = sequences->tokens, n = sequences->n;
    int64_t      rows = block->pooled ? n : T, units = th_unit_count(T, th_block_unit(W));
    bool         ln1_first = !block->post_norm;
    bool         need_dx = !lowest || (ln1_first && norm_trains(block, TH_LN1_WEIGHT));
    th_attention attention = th_block_attention(block, sequences, tape);
    int64_t      ln1_units = units + (block->pooled ? th_unit_count(n, th_block_unit(W)) : 0);
    // The full block sends all of in_proj through one run; a pooled one keys and values of all
    // tokens through the first, queries of the pooled rows through the second.
    in_proj_run all = { .rows = T,
                        .first_out = 0,
                        .out = 3 * W,
                        .dy = s->d_qkv,
                        .x = tape->x,
                        .mean = tape->outer_mean,
                        .rstd = tape->outer_rstd,
                        .residual = s->d_mid,
                        .n = s->n,
                        .dx = dx,
                        .sum_bias = s->sum_in };
    in_proj_run pooled = { .rows = n,
                           .first_out = 0,
                           .out = W,
                           .dy = s->dq,
                           .x = tape->pooled_x,
                           .mean = tape->pooled_x_mean,
                           .rstd = tape->pooled_x_rstd,
                           .residual = s->d_mid,
                           .n = s->pooled_n,
                           .dx = s->d_pooled,
                           .sum_bias = s->sum_q,
                           .first_sum = units };
    th_real    *dq = s->d_qkv, *dk = s->d_qkv + W, *dv = s->d_qkv + 2 * W;

    if (block->pooled) {
        all.first_out = W, all.out = 2 * W, all.dy = s->d_kv, all.residual = NULL;
        dq = s->dq, dk = s->d_kv, dv = s->d_kv + W;
    }
#pragma omp parallel
    rows_above_attention(block, rows, tape, d_out, s,
                         s->threads.base + omp_get_thread_num() * s->threads.each);
    drive(context);
#pragma omp parallel
    {
        th_attention_backward_share(&attention, s->d_attended, tape->lse,
                                    s->threads.base + omp_get_thread_num() * s->threads.each, dq,
                                    dk, dv);
        weights_above_attention_share(block, rows, tape, d_out, s, add);
    }
    drive(context);
#pragma omp parallel
    {
        th_real *mine = s->threads.base + omp_get_thread_num() * s->threads.each;
        in_proj_rows(block, &all, need_dx, s, mine);
        if (block->pooled)
            in_proj_rows(block, &pooled, need_dx, s, mine);
    }
    drive(context);
#pragma omp parallel
    {
        in_proj_weights_share(block, &all, add);
        if (block->pooled)
            in_proj_weights_share(block, &pooled, add);
        if (block->pooled && !lowest)
            scatter_pooled_share(sequences, W, s->d_pooled, dx);
        if (ln1_first)
            fold_norm_share(block, TH_LN1_WEIGHT, s->sum_outer, ln1_units, add);
    }
    drive(context);
}
