/* tests/unit/trainer/test_gemm_check.c - this machine's BLAS passes the check that `thaw doctor`
 * makes; everything else stands on it. */
#include "tests/test.h"

#include "trainer/nn/gemm_check.h"

static void products_are_right(void **state)
{
    double error = th_gemm_check();

    (void)state;
    if (!(error <= TH_GEMM_ERROR))
        fail_msg("products of %s are off by %g", th_gemm_library(), error);
    assert_true(error > 0); // of some hundred thousand sums one is rounded
}

static void the_flavour_is_openmp(void **state)
{
    (void)state;
    assert_true(th_gemm_is_openmp());
    assert_non_null(strstr(th_gemm_library(), "OpenBLAS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(the_flavour_is_openmp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
