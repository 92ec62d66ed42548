/* trainer/towers/block.h - one residual block of a tower, forward and backward.
 *
 * CLIP's, where norms stand before attention and MLP:
 *
 *     mid = x + out_proj(attention(ln_1(x)))
 *     out = mid + c_proj(activation(c_fc(ln_2(mid))))
 *
 * BERT's (post_norm), where they stand behind the sums:
 *
 *     mid = x + out_proj(attention(x))              h = ln_1(mid)
 *     sum = h + c_proj(activation(c_fc(h)))       out = ln_2(sum)
 *
 * In both one norm, the inner one, stands between attention and MLP: ln_2 there, ln_1 here. The
 * outer one is the first thing of the block there, and the last thing here.
 *
 * Private to towers/. Every phase is one OpenMP region in which a thread takes a run of rows
 * through all kernels that work by row; regions end where tokens of a sequence meet (attention) or
 * where a sum runs over all rows (weight gradients). The last block computes queries and all that
 * follows for the pooled row of each sequence alone, unless the mean of all rows is pooled.
 *
 * T tokens, n sequences, R rows after attention: T, or n in a pooled block. */
#ifndef TH_TRAINER_TOWERS_BLOCK_H
#define TH_TRAINER_TOWERS_BLOCK_H

#include "trainer/nn/attention.h"
#include "trainer/parameters.h"

/* Rows of the table, from ln_1.weight of the block on. */
enum {
    TH_LN1_WEIGHT,
    TH_LN1_BIAS,
    TH_IN_WEIGHT,
    TH_IN_BIAS,
    TH_OUT_WEIGHT,
    TH_OUT_BIAS,
    TH_LN2_WEIGHT,
    TH_LN2_BIAS,
    TH_FC_WEIGHT,
    TH_FC_BIAS,
    TH_PROJ_WEIGHT,
    TH_PROJ_BIAS,
};

typedef struct {
    const th_parameters *parameters;
    int                  first_row; // of ln_1.weight
    int64_t              width, heads;
    th_activation        activation;
    double               eps; // of the norms
    bool                 causal, post_norm;
    bool                 pooled; // the last block: only the pooled rows go on
} th_block;

typedef struct {
    int64_t  n, tokens, longest;
    int64_t *first;  // [n + 1]
    int64_t *pooled; // [n] row of the pooled token
} th_sequences;

/* What a block leaves behind. q, kv: in the full block both are columns of qkv [T, 3 W]; in a
 * pooled one q is [n, W] and kv [T, 2 W]. */
typedef struct {
    th_real *x;                       // [T, W] input
    th_real *outer_mean, *outer_rstd; // [T] of x, or with post_norm [R] of sum
    th_real *qkv, *q, *kv;
    th_real *lse;                           // [R, heads]
    th_real *attended;                      // [R, W] before out_proj
    th_real *mid;                           // [R, W]
    th_real *inner_mean, *inner_rstd;       // [R] of mid
    th_real *u;                             // [R, 4 W] before the activation
    th_real *sum;                           // [R, W] with post_norm
    th_real *pooled_x;                      // [n, W] rows of x; of a pooled block
    th_real *pooled_x_mean, *pooled_x_rstd; // [n] without post_norm
} th_block_tape;

/* Memory of each thread: `each` elements, thread after thread. */
typedef struct {
    th_real *base;
    int64_t  each;
} th_scratch;

typedef struct {
    th_real   *g, *du;              // [R, 4 W] activation, gradient of what it was applied to
    th_real   *n;                   // [T, W] output of the inner norm, then of ln_1 over x
    th_real   *d_mid, *d_attended;  // [R, W]
    th_real   *d_qkv, *dq, *d_kv;   // as q, kv
    th_real   *pooled_n, *d_pooled; // [n, W] of a pooled block
    th_real   *sum_in, *sum_q, *sum_out, *sum_fc, *sum_proj; // [units, columns] of bias gradients
    th_real   *sum_outer[2], *sum_inner[2];                  // [units, W] of gamma and beta
    th_scratch threads;
} th_block_scratch;

// About how many rows a thread takes through the kernels at a time: what one kernel writes should
// still be near when the next one reads it, but the weights are packed anew for each chunk, which
// costs 3 % of a product at 192 rows and 1 % or less from 384 on (width 192 to 768).
#define TH_BLOCK_CHUNK 384

/* Rows of a unit. */
int64_t th_block_unit(int64_t width);
/* Elements that each thread needs. */
int64_t th_block_scratch_each(int64_t width, int64_t heads, int64_t longest);

/* out [R, W] may be tape->x when nothing is kept. kept: fill the tape for backward; else of the
 * tape only qkv (q, kv), lse, attended (and pooled_x) are there, for use meanwhile. */
void th_block_forward(const th_block *block, const th_sequences *sequences,
                      const th_block_tape *tape, bool kept, th_scratch threads, th_real *out);

/* d_out [R, W]: gradient of out, used up; may be dx in a full block. dx [T, W]: that of x, unless
 * `lowest`: then nothing below needs it. drive is called between the phases. */
void th_block_backward(const th_block *block, const th_sequences *sequences,
                       const th_block_tape *tape, th_real *d_out, bool add, bool lowest,
                       th_block_scratch *scratch, th_real *dx, void (*drive)(void *context),
                       void *context);

/* The rows of the two norms' weights; the bias is the next one. */
static inline int th_block_inner(const th_block *block)
{
    return block->post_norm ? TH_LN1_WEIGHT : TH_LN2_WEIGHT;
}

static inline int th_block_outer(const th_block *block)
{
    return block->post_norm ? TH_LN2_WEIGHT : TH_LN1_WEIGHT;
}

/* The weight of a row, and where its gradient goes: NULL when it is frozen. */
static inline const th_real *th_block_weight(const th_block *block, int row)
{
    return th_weight(block->parameters, block->first_row + row);
}

static inline th_real *th_block_gradient(const th_block *block, int row)
{
    int i = block->first_row + row;
    return block->parameters->rows[i].trainable ? th_gradient(block->parameters, i) : NULL;
}

th_attention th_block_attention(const th_block *block, const th_sequences *sequences,
                                const th_block_tape *tape);

#endif
