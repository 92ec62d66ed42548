// How a job ends when one of its ranks does: this program starts mpirun on itself, with an argument
// that says how the ranks behave, and looks at mpirun's exit code and at the time it took.
#include "tests/mpi/mpi_test.h"

#include <mpi.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static bool library_without_threads;

// Stands before the library's function (MPI's profiling interface).
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    int status = PMPI_Init_thread(argc, argv, required, provided);

    if (library_without_threads)
        *provided = MPI_THREAD_FUNNELED;
    return status;
}

static int rank_aborts(int *argc, char ***argv)
{
    th_err err = { 0 };

    if (th_world_open(argc, argv, &th_mpi_world, &err) != TH_OK)
        return 3;
    if (th_mpi_world.rank == 1)
        th_world_abort(&th_mpi_world, 74);
    return th_world_barrier(&th_mpi_world, &err) == TH_OK ? 4 : 5; // waits for rank 1 in vain
}

static int too_few_threads(int *argc, char ***argv)
{
    th_err err = { 0 };

    library_without_threads = true;
    th_code code = th_world_open(argc, argv, &th_mpi_world, &err);
    (void)fprintf(stderr, "%s\n", err.what);
    _exit(th_exit_code(code)); // at once: under AddressSanitizer exit() reports MPI's own leaks
}

static void waits_for_rank_1(void **state)
{
    (void)state;
    th_err err = { 0 };

    if (th_mpi_world.rank == 1)
        fail_msg("on purpose");
    th_assert_ok(th_world_barrier(&th_mpi_world, &err), &err);
}

static void rank_1_is_late(void **state)
{
    (void)state;
    th_err err = { 0 };

    if (th_mpi_world.rank == 1)
        while (true)
            (void)usleep(100000);
    th_assert_ok(th_world_barrier(&th_mpi_world, &err), &err);
}

static int test_fails(int *argc, char ***argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(waits_for_rank_1) };
    return th_mpi_test_main(argc, argv, tests, 1, 40);
}

static int test_is_late(int *argc, char ***argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rank_1_is_late) };
    return th_mpi_test_main(argc, argv, tests, 1, 1);
}

static const struct way {
    const char *name;
    int (*run)(int *, char ***);
    int         exit_code;
    const char *says; // on stdout or stderr: codes 1 and 2 can have other reasons
} ways[] = {
    { "a_rank_that_aborts_ends_the_job_with_its_code", rank_aborts, 74, "" },
    { "a_library_without_threads_is_a_usage_error", too_few_threads, 2,
      "cannot use this MPI library" },
    { "a_failing_test_on_one_rank_fails_the_job", test_fails, 1, "on purpose" },
    { "a_test_that_hangs_on_one_rank_fails_the_job", test_is_late, 1, "took too long" },
};
enum { WAYS = sizeof ways / sizeof *ways };

static void mpirun_exits_as_it_should(void **state)
{
    const struct way *way = *state;
    char              self[512] = { 0 }, command[1024], said[16384] = { 0 };
    struct timespec   start, end;

    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    (void)snprintf(command, sizeof command,
                   "timeout 60 mpirun -n 2 --oversubscribe --bind-to none '%s' %s 2>&1", self,
                   way->name);
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    size_t size = fread(said, 1, sizeof said - 1, output);
    int    status = pclose(output);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(size < sizeof said - 1); // all of it was read
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != way->exit_code || !strstr(said, way->says))
        fail_msg("exit code %d, expected %d, after saying: %s", WEXITSTATUS(status), way->exit_code,
                 said);
    assert_in_range(end.tv_sec - start.tv_sec, 0, 30); // ended, not given up by `timeout`
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[WAYS];

    for (int i = 0; i < WAYS; i++) {
        if (argc > 1 && strcmp(argv[1], ways[i].name) == 0)
            return ways[i].run(&argc, &argv);
        tests[i] = (struct CMUnitTest){ .name = ways[i].name,
                                        .test_func = mpirun_exits_as_it_should,
                                        .initial_state = (void *)&ways[i] };
    }
    return cmocka_run_group_tests_name("comm/abort", tests, NULL, NULL);
}
