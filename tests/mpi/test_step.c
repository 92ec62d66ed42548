/* tests/mpi/test_step.c - the whole step in float: cut how one likes, the gradient is the same. */
#include "step_case.h"

// Float sums in another order: 1e-5 of the row's largest element is what the contract allows.
#define RELATIVE 1e-5

static void same_gradient_for(int64_t B, int64_t K, step_how how)
{
    step_data      data = step_data_open(B, K);
    th_parameters  p = { 0 };
    th_real       *want = NULL;
    th_step_result wanted = step_reference(&data, &want), got;
    th_err         err = { 0 };

    step_parameters_open(&p);
    th_assert_ok(step_run(&th_mpi_world, &p, &data, how, &got, NULL, &err), &err);
    step_assert_gradient(&p, want, RELATIVE);
    if (!(fabs(got.loss - wanted.loss) <= 1e-6 * wanted.loss) ||
        !(fabs(got.gradient_norm - wanted.gradient_norm) <= 1e-5 * wanted.gradient_norm))
        fail_msg("loss %.9g norm %.9g, want %.9g %.9g", got.loss, got.gradient_norm, wanted.loss,
                 wanted.gradient_norm);
    th_parameters_close(&p);
    step_data_close(&data);
    free(want);
}

static void micro_batches_do_not_change_it(void **state)
{
    static const int64_t micro[] = { 1, 3, 8, 0 };

    (void)state;
    for (int i = 0; i < 4; i++)
        for (int64_t K = 1; K <= 3; K += 2)
            same_gradient_for(19, K, (step_how){ .micro = micro[i] });
}

static void ranks_without_samples_take_part(void **state)
{
    (void)state;
    for (int loss = 0; loss < 4; loss++) {
        step_loss.sigmoid = loss & 1;
        step_loss.mask = loss & 2;
        same_gradient_for(3, 1, (step_how){ 0 });
        same_gradient_for(3, 3, (step_how){ .micro = 1 });
    }
    step_loss.sigmoid = step_loss.mask = false;
}

// The bits of a run may not depend on how often a step is repeated.
static void repeat(void)
{
    step_data      data = step_data_open(19, 3);
    th_parameters  p[2] = { 0 };
    th_step_result result[2];
    th_err         err = { 0 };

    for (int i = 0; i < 2; i++) {
        step_parameters_open(&p[i]);
        th_assert_ok(
            step_run(&th_mpi_world, &p[i], &data, (step_how){ .micro = 3 }, &result[i], NULL, &err),
            &err);
    }
    assert_memory_equal(p[0].gradient, p[1].gradient, (size_t)p[0].elements * sizeof(th_real));
    assert_true(result[0].loss == result[1].loss &&
                result[0].gradient_norm == result[1].gradient_norm);
    th_parameters_close(&p[0]);
    th_parameters_close(&p[1]);
    step_data_close(&data);
}

static void a_repeated_step_has_the_same_bits(void **state)
{
    (void)state;
    repeat();
    step_loss.sigmoid = step_loss.mask = true;
    repeat();
    step_loss.sigmoid = step_loss.mask = false;
}

// One rank's pictures become infinite: every rank must find the same and skip together. `sign` is
// the rank it happens on.
static void not_finite_on(int rank)
{
    step_data      data = step_data_open(9, 1);
    th_parameters  p = { 0 };
    th_step_result got;
    double         finite[2];
    th_err         err = { 0 };
    step_how       how = { .deviation = th_mpi_world.rank == rank ? 1e-45f : 0.27f };

    step_parameters_open(&p);
    th_assert_ok(step_run(&th_mpi_world, &p, &data, how, &got, NULL, &err), &err);
    assert_false(got.finite);
    assert_true(isnan(got.gradient_norm));
    finite[0] = isfinite(got.loss) ? 1 : 0;
    finite[1] = got.finite ? 1 : 0;
    th_assert_ok(th_world_sum(&th_mpi_world, finite, 2, &err), &err);
    assert_true(finite[0] == 0 && finite[1] == 0);
    th_parameters_close(&p);
    step_data_close(&data);
}

static void not_finite_on_one_rank_is_on_all(void **state)
{
    (void)state;
    for (int rank = 0; rank < th_mpi_world.size; rank++)
        not_finite_on(rank);
    step_loss.sigmoid = true;
    for (int rank = 0; rank < th_mpi_world.size; rank++)
        not_finite_on(rank);
    step_loss.sigmoid = false;
}

static void compare_ranks(void)
{
    step_data      data = step_data_open(19, 1);
    th_parameters  p = { 0 };
    th_step_result got, first;
    th_err         err = { 0 };

    step_parameters_open(&p);
    th_assert_ok(step_run(&th_mpi_world, &p, &data, (step_how){ .micro = 3 }, &got, NULL, &err),
                 &err);
    th_real *zero = step_new(p.elements, sizeof *zero);
    memcpy(zero, p.gradient, (size_t)p.elements * sizeof *zero);
    first = got;
    th_assert_ok(
        th_world_broadcast(&th_mpi_world, zero, (size_t)p.elements * sizeof *zero, 0, &err), &err);
    th_assert_ok(th_world_broadcast(&th_mpi_world, &first, sizeof first, 0, &err), &err);
    assert_memory_equal(zero, p.gradient, (size_t)p.elements * sizeof *zero);
    assert_true(first.loss == got.loss && first.gradient_norm == got.gradient_norm);
    free(zero);
    th_parameters_close(&p);
    step_data_close(&data);
}

static void all_ranks_have_the_same_bits(void **state)
{
    (void)state;
    compare_ranks();
    step_loss.sigmoid = step_loss.mask = true;
    compare_ranks();
    step_loss.sigmoid = step_loss.mask = false;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(micro_batches_do_not_change_it),
        cmocka_unit_test(ranks_without_samples_take_part),
        cmocka_unit_test(a_repeated_step_has_the_same_bits),
        cmocka_unit_test(all_ranks_have_the_same_bits),
        cmocka_unit_test(not_finite_on_one_rank_is_on_all),
    };

    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
