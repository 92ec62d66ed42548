/* exp, erf and softplus in float against libm in double, over all they are used for. */
#include "tests/test.h"
#include "trainer/nn/elementary.h"
#include "trainer/nn/gelu.h"

static void exp_is_within_its_bound(void **state)
{
    (void)state;
    for (float x = -87.29f; x < 88.29f; x += 0.0007f)
        th_assert_close((double)th_exp(x) / exp((double)x), 1, 1.5e-7);
    assert_true(th_exp(0) == 1);
    assert_true(th_exp(-88) == 0 && th_exp(-INFINITY) == 0 && th_exp(-1e30f) == 0);
    assert_true(isinf(th_exp(89)) && isinf(th_exp(INFINITY)) && isinf(th_exp(1e30f)));
    assert_true(isnan(th_exp(NAN)));
}

static void erf_is_within_its_bound(void **state)
{
    (void)state;
    float gauss;

    for (float x = -9; x < 9; x += 0.00003f) {
        th_assert_close(th_erf(x, &gauss), erf((double)x), 3.5e-7);
        th_assert_close(gauss, exp(-(double)x * (double)x), 1.5e-7);
    }
    assert_true(th_erf(INFINITY, &gauss) == 1 && th_erf(-INFINITY, &gauss) == -1);
    assert_true(isnan(th_erf(NAN, &gauss)) && isnan(gauss));
}

static void softplus_is_within_its_bound(void **state)
{
    (void)state;
    float sigmoid;

    for (float x = -87; x < 120; x += 0.0007f) {
        th_assert_close(th_softplus(x, &sigmoid) / log1p(exp((double)x)), 1, 5e-7);
        th_assert_close((double)sigmoid * (1 + exp(-(double)x)), 1, 5e-7);
    }
    assert_true(th_softplus(-1e30f, &sigmoid) == 0 && sigmoid == 0);
    assert_true(th_softplus(-INFINITY, &sigmoid) == 0 && sigmoid == 0);
    assert_true(isinf(th_softplus(INFINITY, &sigmoid)) && sigmoid == 1);
    assert_true(isnan(th_softplus(NAN, &sigmoid)) && isnan(sigmoid));
}

// The bound of erf, times u / 2, and the rounding of a number of that size.
static void activations_are_within_their_bounds(void **state)
{
    (void)state;
    enum { N = 4001 };
    float u[N], gelu[N], quick[N], derivative[N];

    for (int i = 0; i < N; i++) {
        u[i] = (float)(i - N / 2) * 0.01f;
        derivative[i] = 1;
    }
    th_activate(TH_GELU, u, N, gelu);
    th_activate(TH_QUICK_GELU, u, N, quick);
    for (int i = 0; i < N; i++) {
        double x = (double)u[i], bound = 2.5e-7 * fabs(x) + 1e-30;
        th_assert_close(gelu[i], 0.5 * x * (1 + erf(x / sqrt(2))), bound);
        th_assert_close(quick[i], x / (1 + exp(-1.702 * x)), bound);
    }
    th_activate_backward(TH_GELU, u, 1, N, derivative, gelu, NULL);
    for (int i = 0; i < N; i++) {
        double x = (double)u[i];
        th_assert_close(derivative[i],
                        0.5 * (1 + erf(x / sqrt(2))) + x * exp(-x * x / 2) / sqrt(2 * M_PI), 5e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_its_bound),
        cmocka_unit_test(erf_is_within_its_bound),
        cmocka_unit_test(softplus_is_within_its_bound),
        cmocka_unit_test(activations_are_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
