/* Attention: gradients against central differences, every set of kernels against plain loops, and
 * the pooled variant against the rows it stands for. */
#include "tests/unit/trainer/attention_kernels.h"
#include "tests/unit/trainer/differences.h"

typedef struct {
    th_attention in;
    int64_t      rows, queries, W; // W: heads D
    th_real     *qkv, *q, *out, *lse, *d_out, *scratch;
} problem;

static const int64_t starts[] = { 0, 5, 6, 23, 31 };

static problem problem_open(int64_t heads, int64_t head_dim, bool causal, bool pooled)
{
    int64_t n = 4, rows = starts[n], W = heads * head_dim, queries = pooled ? n : rows;
    problem p = { .rows = rows,
                  .queries = queries,
                  .W = W,
                  .qkv = random_reals(rows * 3 * W, 1),
                  .q = random_reals(queries * W, 2),
                  .out = random_reals(queries * W, 3),
                  .lse = random_reals(queries * heads, 4),
                  .d_out = random_reals(queries * W, 5),
                  .scratch = random_reals(th_attention_scratch(17, head_dim), 6) };
    p.in = (th_attention){ .q = pooled ? p.q : p.qkv,
                           .k = p.qkv + W,
                           .v = p.qkv + 2 * W,
                           .q_stride = pooled ? W : 3 * W,
                           .kv_stride = 3 * W,
                           .first = starts,
                           .sequences = n,
                           .heads = heads,
                           .head_dim = head_dim,
                           .causal = causal,
                           .pooled = pooled };
    return p;
}

static void problem_close(problem *p)
{
    free(p->qkv), free(p->q), free(p->out), free(p->lse), free(p->d_out), free(p->scratch);
}

static double objective(void *context)
{
    problem *p = context;
    th_attention_share(&p->in, p->scratch, p->out, p->lse);
    return dot(p->out, p->d_out, p->queries * p->W);
}

static void gradients_match_differences(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 3, 8, 16, 20 };

    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int variant = 0; variant < 3; variant++) {
            problem  p = problem_open(2, dims[i], variant == 1, variant == 2);
            th_real *d_qkv = random_reals(p.rows * 3 * p.W, 7),
                    *dq = random_reals(p.queries * p.W, 8);

            (void)objective(&p);
            th_attention_backward_share(&p.in, p.d_out, p.lse, p.scratch, variant == 2 ? dq : d_qkv,
                                        d_qkv + p.W, d_qkv + 2 * p.W);
            if (variant == 2) {
                check_gradient("q", objective, &p, p.q, dq, p.queries * p.W, 3);
                // The first third of qkv is not read here.
                for (int64_t t = 0; t < p.rows; t++)
                    check_gradient("kv", objective, &p, p.qkv + (3 * t + 1) * p.W,
                                   d_qkv + (3 * t + 1) * p.W, 2 * p.W, 5);
            } else {
                check_gradient("qkv", objective, &p, p.qkv, d_qkv, p.rows * 3 * p.W, 5);
            }
            free(d_qkv), free(dq);
            problem_close(&p);
        }
}

// The pooled query is a row of the full attention: the last of a causal sequence, any of another.
static void pooled_is_a_row_of_the_full(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        problem full = problem_open(3, 12, causal, false),
                pooled = problem_open(3, 12, causal, true);
        int64_t W = full.W;

        pooled.in.k = full.in.k, pooled.in.v = full.in.v;
        (void)objective(&full);
        for (int s = 0; s < 4; s++)
            memcpy(pooled.q + s * W, full.qkv + (starts[s + 1] - 1) * 3 * W,
                   (size_t)W * sizeof(th_real));
        (void)objective(&pooled);
        for (int s = 0; s < 4; s++)
            for (int64_t j = 0; j < W; j++)
                th_assert_close(pooled.out[s * W + j], full.out[(starts[s + 1] - 1) * W + j],
                                1e-14);
        problem_close(&full);
        problem_close(&pooled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(pooled_is_a_row_of_the_full),
        cmocka_unit_test(every_set_matches_plain_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
