/* tests/mpi/test_step_double.c - the gradient of the whole step is the derivative of its loss.
 *
 * Differences over five points, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, in double: wrong by
 * h^4 of the fifth derivative and 1e-16 / h of rounding. Embeddings have a deviation of 0.02 and a
 * norm behind them, so each derivative is some fifty times the one before: 1e-10 in all at h =
 * 1e-5, where three points would be wrong by 1e-6. */
#include "step_case.h"

#define H          1e-5
#define DIFFERENCE 1e-8 // of the row's largest gradient, and
#define FLOOR      1e-9 // where that is nearly zero
// Double sums in another order, over some hundred terms.
#define RELATIVE 1e-11

// The loss with one weight moved, on all ranks alike.
static double loss_at(th_parameters *p, const step_data *data, int row, int64_t j, double by)
{
    th_step_result result;
    th_err         err = { 0 };
    th_real       *w = th_weight(p, row) + j, before = *w;

    *w += by;
    th_assert_ok(step_run(&th_mpi_world, p, data, (step_how){ 0 }, &result, NULL, &err), &err);
    *w = before;
    return result.loss;
}

static double derivative(th_parameters *p, const step_data *data, int row, int64_t j)
{
    double near = loss_at(p, data, row, j, H) - loss_at(p, data, row, j, -H);
    double far = loss_at(p, data, row, j, 2 * H) - loss_at(p, data, row, j, -2 * H);

    return (8 * near - far) / (12 * H);
}

static void check_differences(int64_t B, int64_t K)
{
    step_data      data = step_data_open(B, K);
    th_parameters  p = { 0 }, moved = { 0 };
    th_step_result result;
    th_err         err = { 0 };
    th_rng         rng;

    step_parameters_open(&p);
    step_parameters_open(&moved);
    th_rng_init(&rng, 13, TH_FOR_TEST, 0, 0);
    th_assert_ok(step_run(&th_mpi_world, &p, &data, (step_how){ .micro = 3 }, &result, NULL, &err),
                 &err);
    for (int i = 0; i < p.row_count; i++) {
        double largest = 0;
        for (int64_t j = 0; j < p.rows[i].count; j++)
            largest = fmax(largest, fabs(th_gradient(&p, i)[j]));
        for (int sample = 0; sample < 2; sample++) {
            int64_t j = (int64_t)th_rng_below(&rng, (uint64_t)p.rows[i].count);
            double  want = derivative(&moved, &data, i, j);
            double  got = th_gradient(&p, i)[j];
            if (!(fabs(got - want) <= DIFFERENCE * largest + FLOOR))
                fail_msg("B %lld K %lld %s[%lld]: gradient %.12g, difference %.12g", (long long)B,
                         (long long)K, p.rows[i].name, (long long)j, got, want);
        }
    }
    th_parameters_close(&p);
    th_parameters_close(&moved);
    step_data_close(&data);
}

static void gradient_is_the_derivative(void **state)
{
    (void)state;
    check_differences(7, 1);
    check_differences(5, 3);
}

// SigLIP's loss has one parameter more. Among the 15 captions some are equal.
static void gradient_is_the_derivative_with_other_losses(void **state)
{
    (void)state;
    step_loss.sigmoid = true;
    check_differences(3, 1);
    step_loss.mask = true;
    check_differences(5, 3);
    step_loss.sigmoid = false;
    check_differences(5, 3);
    step_loss.mask = false;
}

static void gradient_is_the_derivative_with_an_empty_rank(void **state)
{
    (void)state;
    check_differences(3, 1);
}

static void assert_same(const step_data *data, const th_step_result *wanted, const th_real *want,
                        step_how how)
{
    th_parameters  p = { 0 };
    th_step_result got;
    size_t         peak = 0;
    th_err         err = { 0 };

    step_parameters_open(&p);
    th_assert_ok(step_run(&th_mpi_world, &p, data, how, &got, &peak, &err), &err);
    step_assert_gradient(&p, want, RELATIVE);
    if (!(fabs(got.loss - wanted->loss) <= 1e-14 * wanted->loss))
        fail_msg("loss %.17g, want %.17g", got.loss, wanted->loss);
    if (how.budget)
        assert_true(peak <= how.budget);
    th_parameters_close(&p);
}

static void every_cut_of(int batch_count)
{
    static const int64_t batches[] = { 19, 3, 16 }, micro[] = { 1, 3, 8, 0 };

    for (int b = 0; b < batch_count; b++)
        for (int64_t K = 1; K <= 3; K += 2) {
            step_data      data = step_data_open(batches[b], K);
            th_real       *want = NULL;
            th_step_result wanted = step_reference(&data, &want);
            for (int m = 0; m < 4; m++)
                assert_same(&data, &wanted, want, (step_how){ .micro = micro[m] });
            step_data_close(&data);
            free(want);
        }
}

static void every_cut_gives_the_same(void **state)
{
    (void)state;
    every_cut_of(3);
    step_loss.mask = true;
    every_cut_of(1);
    step_loss.sigmoid = true;
    every_cut_of(2);
    step_loss.sigmoid = step_loss.mask = false;
}

// What micro-batches of `m` take on this rank at most: tapes and scratch of both towers.
typedef struct {
    size_t  tape[2], scratch[2];
    int64_t count;
} cost;

static cost cost_of(const step_data *data, int64_t m)
{
    th_parameters  p = { 0 };
    th_image_tower image = { .parameters = &p };
    th_text_tower  text = { .parameters = &p };
    th_batch       batch = step_slice(data, &th_mpi_world);
    cost           most = { .count = (batch.n + m - 1) / m };

    step_parameters_open(&p);
    for (int64_t first = 0; first < batch.n; first += m) {
        int64_t n = first + m < batch.n ? m : batch.n - first, K = data->K;
        size_t  tape, scratch;
        th_image_tower_bytes(&image, n, &tape, &scratch);
        most.tape[0] = tape > most.tape[0] ? tape : most.tape[0];
        most.scratch[0] = scratch > most.scratch[0] ? scratch : most.scratch[0];
        th_text_tower_bytes(&text, n * K, batch.offsets[(first + n) * K] - batch.offsets[first * K],
                            &tape, &scratch);
        most.tape[1] = tape > most.tape[1] ? tape : most.tape[1];
        most.scratch[1] = scratch > most.scratch[1] ? scratch : most.scratch[1];
    }
    th_parameters_close(&p);
    free((void *)batch.offsets);
    return most;
}

static size_t working(const cost *c)
{
    size_t image = c->tape[0] + c->scratch[0], text = c->tape[1] + c->scratch[1];
    return image > text ? image : text;
}

// Budgets that keep no tape, one text tape, all text and one image tape, and all: the arena has
// exactly that many bytes, so a plan that is too generous fails.
static void every_budget_gives_the_same(void **state)
{
    (void)state;
    for (int64_t K = 1; K <= 3; K += 2) {
        step_data      data = step_data_open(19, K);
        th_real       *want = NULL;
        th_step_result wanted = step_reference(&data, &want);
        cost           c = cost_of(&data, 2);
        size_t         texts = (size_t)c.count * c.tape[1];
        assert_same(&data, &wanted, want, (step_how){ 2, working(&c), 0 });
        assert_same(&data, &wanted, want, (step_how){ 2, working(&c) + c.tape[1], 0 });
        assert_same(&data, &wanted, want, (step_how){ 2, working(&c) + texts + c.tape[0], 0 });
        assert_same(&data, &wanted, want,
                    (step_how){ 2, working(&c) + texts + (size_t)c.count * c.tape[0], 0 });
        step_data_close(&data);
        free(want);
    }
}

// The last rank has too little memory: all ranks say so, and none waits for another.
static void one_rank_without_memory_stops_all(void **state)
{
    step_data      data = step_data_open(19, 1);
    th_parameters  p = { 0 };
    th_step_result got;
    th_err         err = { 0 };
    bool           last = th_mpi_world.rank == th_mpi_world.size - 1;

    (void)state;
    step_parameters_open(&p);
    assert_int_equal(
        step_run(&th_mpi_world, &p, &data, (step_how){ 0, last ? 4096 : 0, 0 }, &got, NULL, &err),
        TH_EUSAGE);
    assert_non_null(strstr(err.what, "memory budget leaves 0.0 MiB"));
    th_parameters_close(&p);
    step_data_close(&data);
}

// Freezes what a pattern selects; the gradient of the rest stays what it was.
static void frozen(const char *pattern)
{
    step_data      data = step_data_open(11, 3);
    th_parameters  p = { 0 };
    th_real       *want = NULL;
    th_step_result got;
    double         squares = 0;
    th_err         err = { 0 };

    (void)step_reference(&data, &want);
    step_parameters_open(&p);
    for (int g = 0; g < p.group_count; g++)
        p.groups[g].trainable = false;
    for (int i = 0; i < p.row_count; i++) {
        p.rows[i].trainable = !th_parameters_match(&p, i, pattern);
        p.groups[p.rows[i].group].trainable |= p.rows[i].trainable;
    }
    th_assert_ok(step_run(&th_mpi_world, &p, &data, (step_how){ .micro = 3 }, &got, NULL, &err),
                 &err);
    step_assert_gradient(&p, want, RELATIVE);
    for (int i = 0; i < p.row_count; i++)
        for (int64_t j = 0; p.rows[i].trainable && j < p.rows[i].count; j++)
            squares += want[p.rows[i].offset + j] * want[p.rows[i].offset + j];
    if (!(fabs(got.gradient_norm - sqrt(squares)) <= RELATIVE * sqrt(squares)))
        fail_msg("%s: norm %.17g, want %.17g", pattern, got.gradient_norm, sqrt(squares));
    th_parameters_close(&p);
    step_data_close(&data);
    free(want);
}

static void what_is_frozen_does_not_change_the_rest(void **state)
{
    static const char *const patterns[] = { "image",       "text",
                                            "image.embed", "text.blocks[0:2]",
                                            "logit_scale", "text.head",
                                            "*.bias",      "image.top(1)" };

    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        frozen(patterns[i]);
    step_loss.sigmoid = true;
    for (int i = 0; i < 2; i++)
        frozen(patterns[i]);
    frozen("logit_bias");
    step_loss.sigmoid = false;
}

static void all_of_it_holds_for_bert(void **state)
{
    step_model = &step_bert;
    check_differences(7, 1);
    check_differences(5, 3);
    every_budget_gives_the_same(state);
    what_is_frozen_does_not_change_the_rest(state);
    step_model = &step_clip;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_is_the_derivative),
        cmocka_unit_test(gradient_is_the_derivative_with_other_losses),
        cmocka_unit_test(gradient_is_the_derivative_with_an_empty_rank),
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(every_budget_gives_the_same),
        cmocka_unit_test(one_rank_without_memory_stops_all),
        cmocka_unit_test(what_is_frozen_does_not_change_the_rest),
        cmocka_unit_test(all_of_it_holds_for_bert),
    };

    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 120);
}
