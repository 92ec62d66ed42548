#include "loss_cases.h"

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { LOSS_CASES };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
