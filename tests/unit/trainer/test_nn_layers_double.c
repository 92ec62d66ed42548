/* Every layer's backward against central differences of its forward. */
#include "tests/unit/trainer/differences.h"
#include "trainer/nn/embedding.h"
#include "trainer/nn/gelu.h"
#include "trainer/nn/layernorm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/normalize.h"
#include "trainer/nn/pool.h"

typedef struct {
    int64_t       rows, in, out;
    th_activation kind;
    double        eps;
    th_real      *x, *weight, *bias, *residual, *y, *dy;
    th_real       mean[64], rstd[64];
} layer;

static layer layer_open(int64_t rows, int64_t in, int64_t out)
{
    return (layer){ .rows = rows,
                    .in = in,
                    .out = out,
                    .x = random_reals(rows * in, 1),
                    .weight = random_reals(out * in, 2),
                    .bias = random_reals(out > in ? out : in, 3),
                    .residual = random_reals(rows * out, 4),
                    .y = random_reals(rows * out, 5),
                    .dy = random_reals(rows * out, 6) };
}

static void layer_close(layer *l)
{
    free(l->x), free(l->weight), free(l->bias), free(l->residual), free(l->y), free(l->dy);
}

static double linear_objective(void *context)
{
    layer *l = context;
    th_linear(l->x, l->rows, l->in, l->out, l->weight, l->bias, l->residual, l->y);
    return dot(l->y, l->dy, l->rows * l->out);
}

static void linear_gradients(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = { { 7, 5, 9 }, { 3, 40, 11 }, { 50, 13, 4 }, { 1, 1, 1 } };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        layer    l = layer_open(sizes[i][0], sizes[i][1], sizes[i][2]);
        th_real *dx = random_reals(l.rows * l.in, 8), *dw = random_reals(l.out * l.in, 9);
        th_real *db = random_reals(l.out, 10), *sums = random_reals(2 * l.out, 11), *more;

        th_linear_backward_input(l.dy, l.rows, l.in, l.out, l.weight, dx);
        th_linear_backward_weight_share(l.dy, l.x, l.rows, l.in, l.out, false, dw);
        th_sum_rows(l.dy, l.rows / 2, l.out, sums);
        th_sum_rows(l.dy + l.rows / 2 * l.out, l.rows - l.rows / 2, l.out, sums + l.out);
        th_fold_share(sums, 2, l.out, false, db);
        check_gradient("x", linear_objective, &l, l.x, dx, l.rows * l.in, 1);
        check_gradient("weight", linear_objective, &l, l.weight, dw, l.out * l.in, 1);
        check_gradient("bias", linear_objective, &l, l.bias, db, l.out, 1);
        check_gradient("residual", linear_objective, &l, l.residual, l.dy, l.rows * l.out, 1);
        more = random_reals(l.out * l.in, 9);
        memcpy(more, dw, (size_t)(l.out * l.in) * sizeof *dw);
        th_linear_backward_weight_share(l.dy, l.x, l.rows, l.in, l.out, true, dw);
        th_fold_share(sums, 2, l.out, true, db);
        for (int64_t j = 0; j < l.out * l.in; j++)
            th_assert_close(dw[j], 2 * more[j], 1e-12);
        free(dx), free(dw), free(db), free(sums), free(more);
        layer_close(&l);
    }
}

static double norm_objective(void *context)
{
    layer *l = context;
    th_layernorm(l->x, l->rows, l->in, l->weight, l->bias, l->eps, l->y, l->mean, l->rstd);
    return dot(l->y, l->dy, l->rows * l->in) + dot(l->x, l->residual, l->rows * l->in);
}

static void layernorm_gradients(void **state)
{
    (void)state;
    for (int64_t width = 1; width < 40; width += 6) {
        layer    l = layer_open(5, width, width);
        th_real *dx = random_reals(5 * width, 8), *again = random_reals(5 * width, 8);
        th_real *gamma = random_reals(width, 9), *beta = random_reals(width, 9);

        l.eps = width % 4 == 1 ? TH_CLIP_EPS : TH_BERT_EPS;
        (void)norm_objective(&l);
        th_layernorm_again(l.x, 5, width, l.weight, l.bias, l.mean, l.rstd, again);
        assert_memory_equal(again, l.y, (size_t)(5 * width) * sizeof *again);
        // In place of dy, as the towers use it.
        memcpy(dx, l.dy, (size_t)(5 * width) * sizeof *dx);
        th_layernorm_backward(dx, l.x, 5, width, l.weight, l.mean, l.rstd, l.residual, dx, gamma,
                              beta);
        check_gradient("x", norm_objective, &l, l.x, dx, 5 * width, 1);
        check_gradient("gamma", norm_objective, &l, l.weight, gamma, width, 1);
        check_gradient("beta", norm_objective, &l, l.bias, beta, width, 1);
        memset(l.residual, 0, (size_t)(5 * width) * sizeof *dx);
        th_layernorm_backward(l.dy, l.x, 5, width, l.weight, l.mean, l.rstd, NULL, dx, NULL, NULL);
        check_gradient("x alone", norm_objective, &l, l.x, dx, 5 * width, 1);
        free(dx), free(again), free(gamma), free(beta);
        layer_close(&l);
    }
}

static double activation_objective(void *context)
{
    layer *l = context;
    th_activate(l->kind, l->x, l->rows * l->in, l->y);
    return dot(l->y, l->dy, l->rows * l->in);
}

static void activation_gradients(void **state)
{
    (void)state;
    for (th_activation kind = TH_GELU; kind <= TH_QUICK_GELU; kind++) {
        layer    l = layer_open(6, 37, 37);
        th_real *du = random_reals(6 * 37, 8), *y = random_reals(6 * 37, 8);
        th_real *sum = random_reals(37, 8), *want = random_reals(37, 8);

        l.kind = kind;
        for (int i = 0; i < 6 * 37; i++)
            l.x[i] *= 3;
        memcpy(du, l.dy, 6 * 37 * sizeof *du);
        th_activate_backward(kind, l.x, 6, 37, du, y, sum);
        check_gradient("u", activation_objective, &l, l.x, du, 6 * 37, 1);
        (void)activation_objective(&l);
        for (int i = 0; i < 6 * 37; i++)
            th_assert_close(y[i], l.y[i], 1e-14);
        th_sum_rows(du, 6, 37, want);
        for (int i = 0; i < 37; i++)
            th_assert_close(sum[i], want[i], 1e-14);
        free(du), free(y), free(sum), free(want);
        layer_close(&l);
    }
}

static double normalize_objective(void *context)
{
    layer *l = context;
    th_normalize_rows(l->x, l->rows, l->in, l->y, l->mean);
    return dot(l->y, l->dy, l->rows * l->in);
}

static void normalize_gradients(void **state)
{
    (void)state;
    layer    l = layer_open(9, 21, 21);
    th_real *dx = random_reals(9 * 21, 8);

    (void)normalize_objective(&l);
    for (int i = 0; i < 9; i++)
        th_assert_close(dot(l.y + i * 21, l.y + i * 21, 21), 1, 1e-14);
    memcpy(dx, l.dy, 9 * 21 * sizeof *dx);
    th_normalize_rows_backward(l.y, l.mean, dx, 9, 21, dx);
    check_gradient("x", normalize_objective, &l, l.x, dx, 9 * 21, 1);
    // A row of zeros has no direction: it stays zero, and its gradient is only scaled, as in torch.
    memset(l.x, 0, 21 * sizeof *l.x);
    th_normalize_rows(l.x, 9, 21, l.y, l.mean);
    th_normalize_rows_backward(l.y, l.mean, l.dy, 9, 21, dx);
    for (int j = 0; j < 21; j++) {
        th_assert_close(l.y[j], 0, 0);
        th_assert_close(dx[j], l.dy[j] * 1e12, 1e-3);
    }
    free(dx);
    layer_close(&l);
}

#define TOKENS 11
#define WIDTH  37

typedef struct {
    th_real *table, *position, *x, *dx, *shift;
} embedding;

static const int32_t token_ids[TOKENS] = { 3, 0, 3, 3, 7, 1, 0, 3, 6, 7, 7 };
static const int64_t starts[] = { 0, 4, 5, 11 };

static double embedding_objective(void *context)
{
    embedding *e = context;
    th_embed_share(token_ids, starts, 3, WIDTH, e->table, e->position, e->shift, e->x);
    return dot(e->x, e->dx, (int64_t)TOKENS * WIDTH);
}

static void embedding_gradients(void **state)
{
    (void)state;
    embedding e = { random_reals(8L * WIDTH, 1), random_reals(6L * WIDTH, 2),
                    random_reals((int64_t)TOKENS * WIDTH, 3),
                    random_reals((int64_t)TOKENS * WIDTH, 4), NULL };
    th_real  *d_table = random_reals(8L * WIDTH, 5), *d_position = random_reals(6L * WIDTH, 6);
    th_real  *sum = random_reals(WIDTH, 7);

    th_zero_share(d_table, 8L * WIDTH);
    th_zero_share(d_position, 6L * WIDTH);
    th_zero_share(sum, WIDTH);
    th_scatter_tokens_share(e.dx, token_ids, TOKENS, WIDTH, d_table);
    th_scatter_positions_share(e.dx, starts, 3, WIDTH, d_position);
    th_gather_sum_share(e.dx, starts, 3, WIDTH, sum);
    check_gradient("table", embedding_objective, &e, e.table, d_table, 8L * WIDTH, 1);
    check_gradient("position", embedding_objective, &e, e.position, d_position, 6L * WIDTH, 1);
    for (int j = 0; j < WIDTH; j++)
        th_assert_close(sum[j], d_position[j], 1e-14); // the first token of each sequence
    // A vector that every token gets beside the others.
    e.shift = random_reals(WIDTH, 8);
    th_zero_share(sum, WIDTH);
    th_gather_sum_share(e.dx, NULL, TOKENS, WIDTH, sum);
    check_gradient("shift", embedding_objective, &e, e.shift, sum, WIDTH, 1);
    check_gradient("shifted table", embedding_objective, &e, e.table, d_table, 8L * WIDTH, 1);
    free(e.shift);
    free(e.table), free(e.position), free(e.x), free(e.dx);
    free(d_table), free(d_position), free(sum);
}

static double mean_objective(void *context)
{
    embedding *e = context;
    th_mean_share(e->x, starts, 3, WIDTH, e->table);
    return dot(e->table, e->dx, 3L * WIDTH);
}

static void mean_gradients(void **state)
{
    (void)state;
    embedding e = { .x = random_reals((int64_t)TOKENS * WIDTH, 1),
                    .table = random_reals(3L * WIDTH, 2),
                    .dx = random_reals(3L * WIDTH, 3) };
    th_real  *d_x = random_reals((int64_t)TOKENS * WIDTH, 4);

    th_mean_backward_share(e.dx, starts, 3, WIDTH, d_x);
    check_gradient("x", mean_objective, &e, e.x, d_x, (int64_t)TOKENS * WIDTH, 1);
    for (int j = 0; j < WIDTH; j++) {
        th_assert_close(e.table[WIDTH + j], e.x[4 * WIDTH + j], 0); // a sequence of one row
        th_assert_close(4 * e.table[j],
                        e.x[j] + e.x[WIDTH + j] + e.x[2 * WIDTH + j] + e.x[3 * WIDTH + j], 1e-14);
    }
    free(e.x), free(e.table), free(e.dx), free(d_x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_gradients),     cmocka_unit_test(layernorm_gradients),
        cmocka_unit_test(activation_gradients), cmocka_unit_test(normalize_gradients),
        cmocka_unit_test(embedding_gradients),  cmocka_unit_test(mean_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
