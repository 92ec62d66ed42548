// A world of one rank gives the right results and asks MPI to communicate for none of them. The
// calls are counted through MPI's profiling interface: ours stand before the library's.
#include "tests/mpi/mpi_test.h"

#include "comm/agree.h"
#include "comm/mpi_private.h"

static int calls; // of MPI functions that communicate

int MPI_Barrier(MPI_Comm comm)
{
    calls++;
    return PMPI_Barrier(comm);
}

int MPI_Bcast(void *at, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    calls++;
    return PMPI_Bcast(at, count, type, root, comm);
}

int MPI_Allgather(const void *from, int count, MPI_Datatype type, void *to, int to_count,
                  MPI_Datatype to_type, MPI_Comm comm)
{
    calls++;
    return PMPI_Allgather(from, count, type, to, to_count, to_type, comm);
}

int MPI_Allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm)
{
    calls++;
    return PMPI_Allreduce(from, to, count, type, op, comm);
}

int MPI_Iallgatherv(const void *from, int count, MPI_Datatype type, void *to, const int counts[],
                    const int places[], MPI_Datatype to_type, MPI_Comm comm, MPI_Request *request)
{
    calls++;
    return PMPI_Iallgatherv(from, count, type, to, counts, places, to_type, comm, request);
}

int MPI_Iallreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                   MPI_Comm comm, MPI_Request *request)
{
    calls++;
    return PMPI_Iallreduce(from, to, count, type, op, comm, request);
}

static th_world *const world = &th_mpi_world;

// Without this the test below would prove nothing: does the counter see a call at all?
static void the_counter_counts(void **state)
{
    (void)state;
    calls = 0;
    assert_int_equal(MPI_Barrier(world->mpi->comm), MPI_SUCCESS);
    assert_int_equal(calls, 1);
}

static void world_calls_return_what_they_got(void **state)
{
    (void)state;
    double values[] = { 1.5, -2.0 };
    char   text[] = "text";
    th_err err = { 0 };

    calls = 0;
    assert_int_equal(th_world_barrier(world, &err), TH_OK);
    assert_int_equal(th_world_broadcast(world, text, sizeof text, 0, &err), TH_OK);
    assert_int_equal(th_world_sum(world, values, 2, &err), TH_OK);
    assert_int_equal(th_world_max(world, values, 2, &err), TH_OK);
    assert_string_equal(text, "text");
    assert_true(values[0] == 1.5 && values[1] == -2.0);
    assert_int_equal(calls, 0);
}

static void a_rank_agrees_with_itself(void **state)
{
    (void)state;
    const th_fact fact = { "program", 1, "" };
    uint32_t      flags = 0;
    th_err        err = { .code = TH_EIO, .what = "mine" };

    calls = 0;
    assert_int_equal(th_agree(world, TH_OK, &err), TH_OK);
    assert_int_equal(th_agree(world, TH_EIO, &err), TH_EIO);
    assert_string_equal(err.what, "mine");
    assert_int_equal(th_agree_flags(world, 6, &flags, &err), TH_OK);
    assert_int_equal(flags, 6);
    assert_int_equal(th_agree_same(world, &fact, 1, &err), TH_OK);
    assert_int_equal(calls, 0);
}

static void a_gather_is_a_copy(void **state)
{
    (void)state;
    const char local[] = "abcdef";
    char       all[sizeof local] = { 0 };
    th_gather *gather = NULL;
    th_err     err = { 0 };

    calls = 0;
    assert_int_equal(th_gather_start(world, local, 3, 2, all, &gather, &err), TH_OK);
    assert_int_equal(th_gather_drive(gather, &err), TH_OK);
    assert_int_equal(th_gather_finish(gather, &err), TH_OK);
    assert_string_equal(all, "abcdef");
    assert_int_equal(calls, 0);
}

static void buckets_leave_the_gradient_alone(void **state)
{
    (void)state;
    float           gradient[] = { 1, 2, 3 };
    const th_bucket cut[] = { { 1, 2 }, { 0, 1 } };
    th_buckets     *buckets = NULL;
    th_err          err = { 0 };

    calls = 0;
    assert_int_equal(th_buckets_open(world, gradient, TH_FLOAT, cut, 2, &buckets, &err), TH_OK);
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(th_buckets_start(buckets, i, &err), TH_OK);
        assert_int_equal(th_buckets_drive(buckets, &err), TH_OK);
        assert_int_equal(th_buckets_finish(buckets, &err), TH_OK);
    }
    assert_true(gradient[0] == 1 && gradient[1] == 2 && gradient[2] == 3);
    th_buckets_close(buckets);
    assert_int_equal(calls, 0);
}

static void a_world_never_opened_can_be_closed(void **state)
{
    (void)state;
    th_world never = { 0 };

    th_world_close(NULL);
    th_world_close(&never);
}

static void opening_did_not_communicate(void **state)
{
    (void)state;
    assert_int_equal(world->size, 1);
    assert_int_equal(world->rank, 0);
    assert_int_equal(calls, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_did_not_communicate),
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(world_calls_return_what_they_got),
        cmocka_unit_test(a_rank_agrees_with_itself),
        cmocka_unit_test(a_gather_is_a_copy),
        cmocka_unit_test(buckets_leave_the_gradient_alone),
        cmocka_unit_test(a_world_never_opened_can_be_closed),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
