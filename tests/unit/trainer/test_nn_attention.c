/* Attention in float, every set of kernels. */
#include "tests/unit/trainer/attention_kernels.h"

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_matches_plain_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
