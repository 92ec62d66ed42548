// The basic calls of a world, on as many ranks as mpirun started.
#include "tests/mpi/mpi_test.h"

#include "comm/mpi_private.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

static th_world *const world = &th_mpi_world;

static void rank_and_size_are_those_of_mpirun(void **state)
{
    (void)state;
    const char *size = getenv("OMPI_COMM_WORLD_SIZE"), *rank = getenv("OMPI_COMM_WORLD_RANK");

    assert_in_range(world->rank, 0, world->size - 1);
    if (size && rank) { // Open MPI says so in the environment
        assert_int_equal(world->size, atoi(size));
        assert_int_equal(world->rank, atoi(rank));
    }
}

static void hosts_are_known_to_all_ranks(void **state)
{
    (void)state;
    char mine[256] = { 0 };

    assert_int_equal(gethostname(mine, sizeof mine - 1), 0);
    for (int rank = 0; rank < world->size; rank++) // the tests run on one host
        assert_string_equal(th_world_host(world, rank), mine);
    assert_int_equal(th_world_host_ranks(world), world->size);
}

static void barrier_returns_on_all_ranks(void **state)
{
    (void)state;
    th_err err = { 0 };

    th_assert_ok(th_world_barrier(world, &err), &err);
}

static uint8_t byte_of(int root, size_t i)
{
    return (uint8_t)((i * 31 + (size_t)root * 7 + 3) % 251);
}

// Pieces of 7 bytes: none, a part, exactly one, exactly two and a long row with a rest.
static void broadcast_reaches_all_in_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 3, 7, 14, 1000 };
    uint8_t             bytes[1001];
    th_err              err = { 0 };

    for (int root = 0; root < world->size; root++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            memset(bytes, 0xEE, sizeof bytes);
            if (world->rank == root)
                for (size_t i = 0; i < sizes[s]; i++)
                    bytes[i] = byte_of(root, i);
            th_assert_ok(th_world_broadcast_limit(world, bytes, sizes[s], root, 7, &err), &err);
            for (size_t i = 0; i < sizes[s]; i++)
                assert_int_equal(bytes[i], byte_of(root, i));
            assert_int_equal(bytes[sizes[s]], 0xEE); // and not one byte more
        }
}

static void broadcast_of_a_megabyte(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    uint8_t *bytes = calloc(SIZE, 1);
    th_err   err = { 0 };
    int      root = world->size - 1;

    assert_non_null(bytes);
    if (world->rank == root)
        for (size_t i = 0; i < SIZE; i++)
            bytes[i] = byte_of(root, i);
    th_assert_ok(th_world_broadcast(world, bytes, SIZE, root, &err), &err);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(bytes[i], byte_of(root, i));
    free(bytes);
}

// Values whose sum depends on the order: 1e16 + 1 - 1e16 is 0 or 1.
static double value_of(int rank, int i)
{
    static const double scale[] = { 1e16, 1.0, -1e16, 3.0 };

    return scale[rank % 4] * (1.0 + i * 0.1);
}

static void sum_adds_in_rank_order(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    double values[COUNT];
    th_err err = { 0 };

    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < COUNT; i++)
            values[i] = value_of(world->rank, i);
        (void)usleep((useconds_t)((world->rank * 7 + round * 3) % 5) * 500); // arrive in any order
        th_assert_ok(th_world_sum(world, values, COUNT, &err), &err);
        for (int i = 0; i < COUNT; i++) {
            double want = value_of(0, i);
            for (int rank = 1; rank < world->size; rank++)
                want += value_of(rank, i);
            assert_memory_equal(&values[i], &want, sizeof want); // bits, not a tolerance
        }
    }
}

static void max_is_the_largest_and_nan_wins(void **state)
{
    (void)state;
    double values[] = { -1.0 - world->rank, world->rank, -INFINITY,
                        world->rank == world->size / 2 ? NAN : 1e300 };
    th_err err = { 0 };

    th_assert_ok(th_world_max(world, values, 4, &err), &err);
    assert_true(values[0] == -1.0);
    assert_true(values[1] == world->size - 1);
    assert_true(values[2] == -INFINITY);
    assert_true(isnan(values[3]));
}

static void no_values_at_all_are_fine(void **state)
{
    (void)state;
    th_err err = { 0 };

    th_assert_ok(th_world_sum(world, NULL, 0, &err), &err);
    th_assert_ok(th_world_max(world, NULL, 0, &err), &err);
}

// MPI itself refuses a root that does not exist, on every rank, before it sends anything.
static void an_mpi_error_is_returned_with_its_reason(void **state)
{
    (void)state;
    char   byte = 0;
    th_err err = { 0 };

    if (world->size == 1)
        return; // asks MPI for nothing
    assert_int_equal(th_world_broadcast(world, &byte, 1, world->size, &err), TH_EPEER);
    assert_non_null(strstr(err.what, "could not broadcast to all ranks: "));
    assert_non_null(strstr(err.what, "MPI_ERR_ROOT"));
    assert_string_not_equal(err.fix, "");
    th_assert_ok(th_world_barrier(world, &err), &err); // nothing was sent: the world still stands
}

// A row of 5 GiB and 3 bytes costs nothing to describe. The sizes go through both of MPI's limits.
static void a_row_type_has_exactly_the_bytes_of_the_row(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        int    limit;
    } rows[] = { { 1, 7 },
                 { 6, 7 },
                 { 7, 7 },
                 { 8, 7 },
                 { 14, 7 },
                 { 48, 7 },
                 { 2048, INT_MAX },
                 { (size_t)INT_MAX, INT_MAX },
                 { ((size_t)5 << 30) + 3, INT_MAX } };
    th_err err = { 0 };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        MPI_Datatype type = MPI_DATATYPE_NULL;
        MPI_Count    bytes = 0, lower = 0, extent = 0;
        th_assert_ok(th_mpi_bytes_type(rows[i].size, rows[i].limit, &type, &err), &err);
        assert_int_equal(MPI_Type_size_x(type, &bytes), MPI_SUCCESS);
        assert_int_equal(MPI_Type_get_extent_x(type, &lower, &extent), MPI_SUCCESS);
        assert_true((size_t)bytes == rows[i].size);
        assert_true(lower == 0 && (size_t)extent == rows[i].size);
        assert_int_equal(MPI_Type_free(&type), MPI_SUCCESS);
    }
    MPI_Datatype none = MPI_DATATYPE_NULL;
    assert_int_equal(th_mpi_bytes_type(57, 7, &none, &err), TH_EUSAGE);
    assert_true(none == MPI_DATATYPE_NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_and_size_are_those_of_mpirun),
        cmocka_unit_test(hosts_are_known_to_all_ranks),
        cmocka_unit_test(barrier_returns_on_all_ranks),
        cmocka_unit_test(broadcast_reaches_all_in_pieces),
        cmocka_unit_test(broadcast_of_a_megabyte),
        cmocka_unit_test(sum_adds_in_rank_order),
        cmocka_unit_test(max_is_the_largest_and_nan_wins),
        cmocka_unit_test(no_values_at_all_are_fine),
        cmocka_unit_test(an_mpi_error_is_returned_with_its_reason),
        cmocka_unit_test(a_row_type_has_exactly_the_bytes_of_the_row),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
