#include "trainer/towers/block.h"

#include "trainer/nn/gelu.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"
#include <string.h>

int64_t th_block_unit(int64_t width)
{
    return th_unit_rows(width * width);
}

int64_t th_block_scratch_each(int64_t width, int64_t heads, int64_t longest)
{
    int64_t rows = th_chunk_most(th_block_unit(width), TH_BLOCK_CHUNK);
    int64_t attention = th_attention_scratch(longest, width / heads);

    return rows * 5 * width > attention ? rows * 5 * width : attention;
}

th_attention th_block_attention(const th_block *block, const th_sequences *sequences,
                                const th_block_tape *tape)
{
    int64_t W = block->width;

    return (th_attention){ .q = block->pooled ? tape->q : tape->qkv,
                           .k = block->pooled ? tape->kv : tape->qkv + W,
                           .v = block->pooled ? tape->kv + W : tape->qkv + 2 * W,
                           .q_stride = block->pooled ? W : 3 * W,
                           .kv_stride = block->pooled ? 2 * W : 3 * W,
                           .first = sequences->first,
                           .sequences = sequences->n,
                           .heads = block->heads,
                           .head_dim = W / block->heads,
                           .causal = block->causal,
                           .pooled = block->pooled };
}

// A loop over many rows ends in a few elements that do not fill a vector. Of which row they are
// must not matter, so each row is a loop of its own.
static void activate(const th_block *block, const th_real *u, int64_t rows, th_real *g)
{
    int64_t columns = 4 * block->width;

    for (int64_t i = 0; i < rows; i++)
        th_activate(block->activation, u + i * columns, columns, g + i * columns);
}

static void norm(const th_block *block, int weight_row, const th_real *x, int64_t rows, th_real *y,
                 th_real *mean, th_real *rstd)
{
    th_layernorm(x, rows, block->width, th_block_weight(block, weight_row),
                 th_block_weight(block, weight_row + 1), block->eps, y, mean, rstd);
}

// ln_1 (where it stands before attention) and in_proj's rows from first_out on, for a thread's
// share of the rows.
static void project_in(const th_block *block, const th_real *x, int64_t rows, int64_t first_out,
                       int64_t out, th_real *mean, th_real *rstd, th_real *y, th_real *mine)
{
    int64_t        W = block->width;
    const th_real *weight = th_block_weight(block, TH_IN_WEIGHT) + first_out * W;
    const th_real *bias = th_block_weight(block, TH_IN_BIAS) + first_out;
    th_chunk       c;

    for (th_walk walk = th_walk_share(rows, th_block_unit(W), TH_BLOCK_CHUNK);
         th_walk_next(&walk, &c);) {
        const th_real *from = x + c.first * W;
        if (!block->post_norm) {
            norm(block, TH_LN1_WEIGHT, from, c.count, mine, mean ? mean + c.first : NULL,
                 rstd ? rstd + c.first : NULL);
            from = mine;
        }
        th_linear(from, c.count, W, out, weight, bias, NULL, y + c.first * out);
    }
}

// The pooled rows of x, for a thread's share of them: where project_in will look for them.
static void gather_pooled(const th_block *block, const th_sequences *sequences, const th_real *x,
                          th_real *pooled_x)
{
    int64_t W = block->width;
    th_rows mine = th_share(sequences->n, th_block_unit(W));

    for (int64_t i = mine.first; i < mine.first + mine.count; i++)
        memcpy(pooled_x + i * W, x + sequences->pooled[i] * W, (size_t)W * sizeof *x);
}

// From the attention's output to the block's, for a thread's share of the rows.
static void finish(const th_block *block, int64_t rows, const th_real *x, const th_block_tape *tape,
                   bool kept, th_real *mine, th_real *out)
{
    int64_t  W = block->width, unit = th_block_unit(W), near = TH_BLOCK_CHUNK;
    th_real *n = mine, *g = mine + th_chunk_most(unit, near) * W;
    bool     post = block->post_norm;
    th_chunk c;

    for (th_walk walk = th_walk_share(rows, unit, near); th_walk_next(&walk, &c);) {
        int64_t  at = c.first * W;
        th_real *mid = kept ? tape->mid + at : out + at;
        th_real *u = kept ? tape->u + 4 * at : g;
        th_real *sum = post && kept ? tape->sum + at : out + at;

        th_linear(tape->attended + at, c.count, W, W, th_block_weight(block, TH_OUT_WEIGHT),
                  th_block_weight(block, TH_OUT_BIAS), x + at, mid);
        norm(block, th_block_inner(block), mid, c.count, n,
             kept ? tape->inner_mean + c.first : NULL, kept ? tape->inner_rstd + c.first : NULL);
        th_linear(n, c.count, W, 4 * W, th_block_weight(block, TH_FC_WEIGHT),
                  th_block_weight(block, TH_FC_BIAS), NULL, u);
        activate(block, u, c.count, g);
        th_linear(g, c.count, 4 * W, W, th_block_weight(block, TH_PROJ_WEIGHT),
                  th_block_weight(block, TH_PROJ_BIAS), post ? n : mid, sum);
        if (post)
            norm(block, TH_LN2_WEIGHT, sum, c.count, out + at,
                 kept ? tape->outer_mean + c.first : NULL,
                 kept ? tape->outer_rstd + c.first : NULL);
    }
}

void th_block_forward(const th_block *block, const th_sequences *sequences,
                      const th_block_tape *tape, bool kept, th_scratch threads, th_real *out)
{
    int64_t        W = block->width, T = sequences->tokens, n = sequences->n;
    th_attention   attention = th_block_attention(block, sequences, tape);
    const th_real *x = block->pooled ? tape->pooled_x : tape->x;
    th_real       *mean = kept ? tape->outer_mean : NULL, *rstd = kept ? tape->outer_rstd : NULL;

#pragma omp parallel
    {
        th_real *mine = threads.base + omp_get_thread_num() * threads.each;
        if (block->pooled) {
            project_in(block, tape->x, T, W, 2 * W, mean, rstd, tape->kv, mine);
            gather_pooled(block, sequences, tape->x, tape->pooled_x);
            project_in(block, tape->pooled_x, n, 0, W, kept ? tape->pooled_x_mean : NULL,
                       kept ? tape->pooled_x_rstd : NULL, tape->q, mine);
        } else {
            project_in(block, tape->x, T, 0, 3 * W, mean, rstd, tape->qkv, mine);
        }
    }
#pragma omp parallel
    th_attention_share(&attention, threads.base + omp_get_thread_num() * threads.each,
                       tape->attended, tape->lse);
#pragma omp parallel
    finish(block, block->pooled ? n : T, x, tape, kept,
           threads.base + omp_get_thread_num() * threads.each, out);
}
