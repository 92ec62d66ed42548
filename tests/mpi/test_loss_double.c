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
static void are_central_differences(const struct way *way)
{
    const double   h = 1e-5, tolerance = 1e-8;
    struct problem p = problem_open(way, 7, 24, 3);
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
    slope = (loss_at(&th_mpi_world, &p, &p.logit_bias, h) -
             loss_at(&th_mpi_world, &p, &p.logit_bias, -h)) /
            (2 * h);
    close_to(result.out.d_logit_bias, slope, tolerance, "d_logit_bias");
    result_close(&result);
    problem_close(&p);
}

static void gradients_are_central_differences(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        are_central_differences(&ways[w]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_central_differences),
        LOSS_CASES,
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
