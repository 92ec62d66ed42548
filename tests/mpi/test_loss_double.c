#include "loss_cases.h"

// Loss of the problem with one of its numbers moved.
static double loss_at(th_world *world, struct problem *p, th_real *number, double by)
{
    th_real       before = *number;
    struct result result;

    *number += by;
    result = run_sides(world, p, false, false);
    *number = before;
    return result.out.loss;
}

// Step 1e-5: the third derivative leaves 1e-10 of error, rounding 1e-16 / 1e-5.
static void gradients_are_central_differences(void **state)
{
    (void)state;
    const double   h = 1e-5, tolerance = 1e-8;
    struct problem p = problem_open(7, 24, 3, 2.6592600369);
    struct result  result = run(&th_mpi_world, &p);
    double         slope = 0;

    for (int64_t at = 0; at < p.B * p.d; at += 5) {
        slope = (loss_at(&th_mpi_world, &p, p.image + at, h) -
                 loss_at(&th_mpi_world, &p, p.image + at, -h)) /
                (2 * h);
        int64_t own = at - result.first * p.d;
        if (own >= 0 && own < result.count * p.d)
            close_to(result.out.d_image[own], slope, tolerance, "d_image");
    }
    for (int64_t at = 0; at < p.B * p.K * p.d; at += 7) {
        slope = (loss_at(&th_mpi_world, &p, p.text + at, h) -
                 loss_at(&th_mpi_world, &p, p.text + at, -h)) /
                (2 * h);
        int64_t own = at - result.first * p.K * p.d;
        if (own >= 0 && own < result.count * p.K * p.d)
            close_to(result.out.d_text[own], slope, tolerance, "d_text");
    }
    slope = (loss_at(&th_mpi_world, &p, &p.logit_scale, h) -
             loss_at(&th_mpi_world, &p, &p.logit_scale, -h)) /
            (2 * h);
    close_to(result.out.d_logit_scale, slope, tolerance, "d_logit_scale");
    result_close(&result);
    problem_close(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_central_differences),
        cmocka_unit_test(loss_and_gradients_are_the_formula),
        cmocka_unit_test(tiles_add_up),
        cmocka_unit_test(world_size_does_not_change_the_loss),
        cmocka_unit_test(thread_count_does_not_change_a_bit),
        cmocka_unit_test(a_side_can_be_left_out),
        cmocka_unit_test(identical_features_at_the_scale_limit),
        cmocka_unit_test(far_below_the_largest_similarity_is_exact),
        cmocka_unit_test(what_is_not_finite_reaches_all_ranks),
        cmocka_unit_test(a_small_arena_fails_on_all_ranks),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
