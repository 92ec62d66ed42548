/* tests/unit/trainer/adamw_cases.h - AdamW beside torch.optim.AdamW's rules, for both precisions.
 */
#ifndef TH_TESTS_UNIT_TRAINER_ADAMW_CASES_H
#define TH_TESTS_UNIT_TRAINER_ADAMW_CASES_H

#include "../../test.h"

#include "base/philox.h"
#include "trainer/optim/adamw.h"
#include <omp.h>
#include <string.h>

// Of the weights, which are about 1 here, after 50 steps of about 1e-2: float rounds each of these
// to 6e-8, and 50 such errors add up to less than 50 * 6e-8; the moments' are scaled by the step.
#ifdef TH_DOUBLE
#define TOLERANCE 1e-13
#else
#define TOLERANCE 3e-6
#endif

// Rows with padding behind them (60 is no multiple of 16), some longer than a block of the
// optimizer.
static const th_model_config small = {
    .image = { 32, 8, 60, 2, 4 },
    .text = { .context = 16, .vocabulary = 2000, .width = 60, .layers = 2, .heads = 4 },
    .embed = 48
};

static const th_adamw usual = { .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2 };

static th_parameters table_open(void)
{
    th_parameters table = { 0 };
    th_err        err = { 0 };

    th_assert_ok(th_parameters_open(&small, &table, &err), &err);
    th_parameters_init(&table, 3);
    return table;
}

static double *rates_open(const th_parameters *table, double rate)
{
    double *lr = calloc((size_t)table->row_count, sizeof *lr);

    assert_non_null(lr);
    for (int row = 0; row < table->row_count; row++)
        lr[row] = rate * (1 + row % 3);
    return lr;
}

static void *copy_of(const void *values, size_t bytes)
{
    void *copy = malloc(bytes);

    assert_non_null(copy);
    return memcpy(copy, values, bytes);
}

// Gradients of very different size, as a model's are; zero now and then.
static void random_gradients(th_parameters *table, uint32_t step)
{
    th_rng rng;

    th_rng_init(&rng, 11, TH_FOR_TEST, step, 0);
    for (int row = 0; row < table->row_count; row++) {
        double   size = pow(10, -(row % 6));
        th_real *gradient = th_gradient(table, row);
        for (int64_t i = 0; i < table->rows[row].count; i++)
            gradient[i] = (th_real)(i % 17 == 3 ? 0 : size * th_rng_normal(&rng));
    }
}

// torch.optim.AdamW on one number, in double; t counts from 1.
static void torch_step(double *w, double *m, double *v, double g, double lr, double decay, double t)
{
    *w *= 1 - lr * decay;
    *m += (g - *m) * (1 - usual.beta1); // exp_avg.lerp_(grad, 1 - beta1)
    *v = usual.beta2 * *v + (1 - usual.beta2) * g * g;
    double step_size = lr / (1 - pow(usual.beta1, t));
    double denominator = sqrt(*v) / sqrt(1 - pow(usual.beta2, t)) + usual.eps;
    *w -= step_size * *m / denominator;
}

struct twin {
    double *weight, *m, *v;
};

static struct twin twin_open(const th_parameters *table)
{
    size_t      count = (size_t)table->elements;
    struct twin twin = { calloc(count, sizeof(double)), calloc(count, sizeof(double)),
                         calloc(count, sizeof(double)) };

    assert_true(twin.weight && twin.m && twin.v);
    for (size_t i = 0; i < count; i++)
        twin.weight[i] = (double)table->weight[i];
    return twin;
}

static void twin_close(struct twin *twin)
{
    free(twin->weight);
    free(twin->m);
    free(twin->v);
}

static double norm_of(const th_parameters *table)
{
    double square = 0;

    for (int row = 0; row < table->row_count; row++)
        for (int64_t i = 0; table->rows[row].trainable && i < table->rows[row].count; i++)
            square += (double)th_gradient(table, row)[i] * (double)th_gradient(table, row)[i];
    return sqrt(square);
}

// 50 steps; every third row is frozen until step 10 and then begins at its own t = 1.
static void fifty_steps(double clip_norm, bool decay_positions)
{
    th_parameters table = table_open();
    struct twin   twin = twin_open(&table);
    double       *lr = rates_open(&table, 1e-2);
    th_adamw      adamw = usual;

    adamw.clip_norm = clip_norm;
    adamw.decay_positions = decay_positions;
    for (uint32_t step = 0; step < 50; step++) {
        for (int row = 0; row < table.row_count; row++)
            table.rows[row].trainable = row % 3 != 1 || step >= 10;
        random_gradients(&table, step);
        double norm = th_gradient_norm(&table), want = norm_of(&table);
        th_assert_close(norm, want, 1e-12 * want);
        double scale = clip_norm > 0 && want > clip_norm ? clip_norm / want : 1;
        th_adamw_update(&table, &adamw, lr, norm);
        for (int row = 0; row < table.row_count; row++) {
            const th_parameter *p = &table.rows[row];
            double              t = step + 1 - (row % 3 == 1 ? 10 : 0);
            bool decay = p->decay || (decay_positions && strstr(p->name, "positional_embedding"));
            for (int64_t i = p->offset; p->trainable && i < p->offset + p->count; i++)
                torch_step(&twin.weight[i], &twin.m[i], &twin.v[i],
                           scale * (double)table.gradient[i], lr[row],
                           decay ? adamw.weight_decay : 0, t);
        }
    }
    int scale_row = th_parameters_find(&table, "logit_scale"), decaying = 0;
    for (int row = 0; row < table.row_count; row++) {
        assert_int_equal(table.step[row], row % 3 == 1 ? 40 : 50);
        decaying += table.rows[row].decay;
        for (int64_t i = table.rows[row].offset;
             row != scale_row && i < table.rows[row].offset + table.rows[row].count; i++)
            th_assert_close((double)table.weight[i], twin.weight[i], TOLERANCE);
    }
    assert_true(decaying > 0 && decaying < table.row_count);
    free(lr);
    twin_close(&twin);
    th_parameters_close(&table);
}

static void fifty_steps_are_torchs(void **state)
{
    (void)state;
    fifty_steps(0, false);
}

// The gradients' norm is about 100: every step is clipped.
static void fifty_clipped_steps_are_torchs(void **state)
{
    (void)state;
    fifty_steps(1, false);
}

static void fifty_steps_that_decay_positions_are_torchs(void **state)
{
    (void)state;
    fifty_steps(0, true);
}

// Without contraction, this is the source's arithmetic and nothing else, on any processor. Volatile
// keeps the compiler of this test from contracting it.
static void bits_are_those_of_the_scalar_source(void **state)
{
    th_parameters table = table_open();
    double       *lr = rates_open(&table, 5e-4);
    size_t        bytes = (size_t)table.elements * sizeof(th_real);
    th_adamw      adamw = usual;

    (void)state;
    adamw.clip_norm = 1;
    random_gradients(&table, 0);
    double norm = th_gradient_norm(&table);
    th_adamw_update(&table, &adamw, lr, norm); // so that the moments are not zero
    th_real *weight = copy_of(table.weight, bytes), *m = copy_of(table.exp_avg, bytes);
    th_real *v = copy_of(table.exp_avg_sq, bytes);
    random_gradients(&table, 1);
    norm = th_gradient_norm(&table);
    th_adamw_update(&table, &adamw, lr, norm);
    for (int row = 0; row < table.row_count; row++) {
        const th_parameter *p = &table.rows[row];
        volatile th_real    rate = (th_real)(lr[row] / (1 - pow(0.9, 2)));
        volatile th_real    root_correction = (th_real)(1 / sqrt(1 - pow(0.98, 2)));
        volatile th_real    keep = (th_real)(p->decay ? 1 - lr[row] * 0.2 : 1);
        for (int64_t i = p->offset; i < p->offset + p->count; i++) {
            volatile th_real g = table.gradient[i] * (th_real)(1 / norm);
            volatile th_real old = (th_real)0.9 * m[i], fresh = (th_real)(1 - 0.9) * g;
            volatile th_real average = old + fresh;
            volatile th_real square = g * g;
            old = (th_real)0.98 * v[i], fresh = (th_real)(1 - 0.98) * square;
            volatile th_real variance = old + fresh;
#ifdef TH_DOUBLE
            volatile th_real root = sqrt(variance);
#else
            volatile th_real root = sqrtf(variance);
#endif
            root = root * root_correction;
            root = root + (th_real)1e-6;
            volatile th_real moved = average / root;
            moved = rate * moved;
            volatile th_real kept = weight[i] * keep;
            assert_true(table.exp_avg[i] == average && table.exp_avg_sq[i] == variance);
            assert_true(table.weight[i] == kept - moved);
        }
    }
    free(weight);
    free(m);
    free(v);
    free(lr);
    th_parameters_close(&table);
}

static void frozen_rows_keep_every_byte(void **state)
{
    th_parameters table = table_open();
    double       *lr = rates_open(&table, 1e-2);
    size_t        bytes = (size_t)table.elements * sizeof(th_real);
    int           scale_row = th_parameters_find(&table, "logit_scale");

    (void)state;
    for (int row = 0; row < table.row_count; row++) {
        table.rows[row].trainable = row % 2;
        table.step[row] = 7;
    }
    table.rows[scale_row].trainable = false;
    *th_weight(&table, scale_row) = 9; // above the clamp, and yet untouched
    random_gradients(&table, 0);
    memset(table.exp_avg, 0x3c, bytes);
    memset(table.exp_avg_sq, 0x3c, bytes);
    th_real *before[3] = { copy_of(table.weight, bytes), copy_of(table.exp_avg, bytes),
                           copy_of(table.exp_avg_sq, bytes) };
    th_real *after[3] = { table.weight, table.exp_avg, table.exp_avg_sq };
    th_adamw_update(&table, &usual, lr, th_gradient_norm(&table));
    for (int row = 0; row < table.row_count; row++) {
        const th_parameter *p = &table.rows[row];
        // with the padding behind the row, which belongs to nobody
        int64_t end = row + 1 < table.row_count ? table.rows[row + 1].offset : table.elements;
        assert_int_equal(table.step[row], p->trainable ? 8 : 7);
        for (int k = 0; k < 3; k++) {
            if (p->trainable)
                assert_memory_not_equal(after[k] + p->offset, before[k] + p->offset,
                                        (size_t)p->count * sizeof(th_real));
            int64_t from = p->offset + (p->trainable ? p->count : 0);
            assert_memory_equal(after[k] + from, before[k] + from,
                                (size_t)(end - from) * sizeof(th_real));
        }
    }
    for (int k = 0; k < 3; k++)
        free(before[k]);
    free(lr);
    th_parameters_close(&table);
}

static void logit_scale_stays_between_1_and_100(void **state)
{
    th_parameters table = table_open();
    double       *lr = rates_open(&table, 0);
    int           row = th_parameters_find(&table, "logit_scale");

    (void)state;
    lr[row] = 1;
    *th_weight(&table, row) = TH_REAL_C(4.5);
    *th_gradient(&table, row) = -1;
    th_adamw_update(&table, &usual, lr, th_gradient_norm(&table));
    th_assert_close(exp((double)*th_weight(&table, row)), 100, 2e-5); // ln 100 as a float
    *th_weight(&table, row) = TH_REAL_C(0.1);
    for (int step = 0; step < 20; step++) {
        *th_gradient(&table, row) = 1;
        th_adamw_update(&table, &usual, lr, th_gradient_norm(&table));
    }
    th_assert_close((double)*th_weight(&table, row), 0, 0);
    free(lr);
    th_parameters_close(&table);
}

// A norm of its own at every number of threads, and the same bits after an update.
static void threads_change_no_bit(void **state)
{
    int      before = omp_get_max_threads();
    th_real *weight = NULL;
    double   norm = 0;

    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        th_parameters table = table_open();
        double       *lr = rates_open(&table, 1e-2);
        size_t        bytes = (size_t)table.elements * sizeof(th_real);
        random_gradients(&table, 0);
        if (threads == 1)
            norm = th_gradient_norm(&table);
        assert_true(th_gradient_norm(&table) == norm);
        th_adamw_update(&table, &usual, lr, norm);
        if (threads == 1)
            weight = copy_of(table.weight, bytes);
        assert_memory_equal(table.weight, weight, bytes);
        free(lr);
        th_parameters_close(&table);
    }
    free(weight);
    omp_set_num_threads(before);
}

// The same sums, slow and plain: one row after the other.
static th_squares plain_squares(const th_parameters *table, const th_real *values, bool trainable)
{
    th_squares sum = { 0 };

    for (int row = 0; row < table->row_count; row++) {
        const th_parameter *p = &table->rows[row];
        for (int64_t i = 0; p->trainable == trainable && i < p->count; i++)
            sum.of[p->tower] += (double)values[p->offset + i] * (double)values[p->offset + i];
    }
    return sum;
}

// 1.6e5 squares, added up in another order: each addition rounds to 1.1e-16 of the sum so far, so
// far less than 1e-11 of it.
static void squares_are_those_of_each_tower(void **state)
{
    th_parameters table = table_open();

    (void)state;
    random_gradients(&table, 2);
    for (int row = 0; row < table.row_count; row++)
        table.rows[row].trainable = row % 3 != 0;
    for (int trainable = 0; trainable < 2; trainable++) {
        th_squares got[2] = { th_squares_of(&table, table.weight, trainable),
                              th_squares_of(&table, table.gradient, trainable) };
        th_squares want[2] = { plain_squares(&table, table.weight, trainable),
                               plain_squares(&table, table.gradient, trainable) };
        for (int k = 0; k < 2; k++)
            for (int tower = 0; tower < 3; tower++)
                th_assert_close(got[k].of[tower], want[k].of[tower], 1e-11 * want[k].of[tower]);
        th_assert_close(th_squares_norm(&got[1]),
                        sqrt(want[1].of[0] + want[1].of[1] + want[1].of[2]), 1e-9);
    }
    th_parameters_close(&table);
}

// What an update adds up on its way is what a pass of its own would find, at any number of threads;
// the clamp of logit_scale included.
static void an_update_returns_the_squares_of_its_weights(void **state)
{
    int before = omp_get_max_threads();

    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        th_parameters table = table_open();
        double       *lr = rates_open(&table, 1e-2);
        random_gradients(&table, 0);
        *th_weight(&table, table.row_count - 1) = 9;
        for (int row = 0; row + 1 < table.row_count; row++)
            table.rows[row].trainable = row % 4 != 2;
        th_squares got = th_adamw_update(&table, &usual, lr, 1);
        th_squares want = th_squares_of(&table, table.weight, true);
        assert_memory_equal(&got, &want, sizeof got);
        assert_true(got.of[TH_NO_TOWER] < 22); // (ln 100)^2 is 21.2
        free(lr);
        th_parameters_close(&table);
    }
    omp_set_num_threads(before);
}

static void a_norm_tells_of_nan_and_infinity(void **state)
{
    th_parameters table = table_open();
    int           last = table.row_count - 1, frozen = table.row_count / 2;

    (void)state;
    random_gradients(&table, 0);
    *th_gradient(&table, last) = NAN;
    assert_true(isnan(th_gradient_norm(&table)));
    *th_gradient(&table, last) = -INFINITY;
    assert_true(isinf(th_gradient_norm(&table)));
    *th_gradient(&table, last) = 0;
    *th_gradient(&table, frozen) = NAN; // nobody computed it
    table.rows[frozen].trainable = false;
    assert_true(isfinite(th_gradient_norm(&table)));
    th_parameters_close(&table);
}

static int adamw_main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_steps_are_torchs),
        cmocka_unit_test(fifty_clipped_steps_are_torchs),
        cmocka_unit_test(fifty_steps_that_decay_positions_are_torchs),
        cmocka_unit_test(bits_are_those_of_the_scalar_source),
        cmocka_unit_test(frozen_rows_keep_every_byte),
        cmocka_unit_test(logit_scale_stays_between_1_and_100),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(squares_are_those_of_each_tower),
        cmocka_unit_test(an_update_returns_the_squares_of_its_weights),
        cmocka_unit_test(a_norm_tells_of_nan_and_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
