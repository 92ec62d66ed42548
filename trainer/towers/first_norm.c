/* trainer/towers/first_norm.c - the norm over block 0's input: CLIP's ln_pre over patches, BERT's
 * over embeddings. Its two rows belong to the group at depth 0. */
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"
#include "trainer/towers/pass.h"

void th_first_norm(const th_pass *pass, const th_tape *tape, bool keep, int weight_row,
                   const th_real *z, int64_t t, int64_t rows, th_real *x)
{
    int64_t at = t * pass->width;

    th_layernorm(z + at, rows, pass->width, th_embed_weight(pass, weight_row),
                 th_embed_weight(pass, weight_row + 1), pass->eps, x + at,
                 keep ? tape->mean + t : NULL, keep ? tape->rstd + t : NULL);
}

void th_first_norm_backward_share(const th_tape *tape, int weight_row, bool add,
                                  th_backward_scratch *s)
{
    const th_pass *pass = &tape->pass;
    int64_t        W = pass->width, T = pass->sequences.tokens, unit = th_block_unit(W);
    th_chunk       c;

    for (th_walk walk = th_walk_share(T, unit, 1); th_walk_next(&walk, &c);) {
        int64_t at = c.first * W;
        th_layernorm_backward(s->dx + at, tape->z + at, c.count, W,
                              th_embed_weight(pass, weight_row), tape->mean + c.first,
                              tape->rstd + c.first, NULL, s->dx + at, s->sum_first[0] + c.unit * W,
                              s->sum_first[1] + c.unit * W);
    }
#pragma omp barrier
    for (int i = 0; i < 2; i++)
        th_fold_share(s->sum_first[i], th_unit_count(T, unit), W, add,
                      th_embed_gradient(pass, weight_row + i));
}
