#include "loss_cases.h"

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
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
