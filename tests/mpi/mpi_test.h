/* tests/mpi/mpi_test.h - cmocka inside an MPI program: every rank runs the same tests, in step.
 *
 *     static void sum_adds(void **state) { ... th_world_sum(&th_mpi_world, ...) ... }
 *     int main(int argc, char **argv)
 *     {
 *         const struct CMUnitTest tests[] = { cmocka_unit_test(sum_adds) };
 *         return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
 *     }
 *
 * A rank that fails must fail the job, not hang it. It leaves a failed test early, so the others
 * would wait for it in a collective call: each test is a group of its own, and a rank whose test
 * failed, or took over timeout_s seconds, ends all ranks with MPI_Abort and exit code 1. Rank 0
 * shows the list of tests; the others show what failed. */
#ifndef TH_TESTS_MPI_MPI_TEST_H
#define TH_TESTS_MPI_MPI_TEST_H

#include "comm/world.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the six standard headers above first
#include <cmocka.h>

// Leaks are looked for before MPI_Finalize: Open MPI keeps memory until the process ends, some of
// it in modules that it has unloaded by then, and what has no name cannot be suppressed by name.
#ifdef TH_SANITIZE
#include <sanitizer/lsan_interface.h>
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) // NOLINT(bugprone-reserved-identifier)
{
    return "leak:libmpi\nleak:libopen-\nleak:libpmix\nleak:mca_\nleak:libevent\n";
}
#define th_mpi_leaks_ignore()   __lsan_disable()
#define th_mpi_leaks_look_for() __lsan_enable()
#define th_mpi_leaks_check()    __lsan_do_leak_check() // ends the process when there are any
#else
#define th_mpi_leaks_ignore()   ((void)0)
#define th_mpi_leaks_look_for() ((void)0)
#define th_mpi_leaks_check()    ((void)0)
#endif

/* Asserts TH_OK and prints the error otherwise. */
#define th_assert_ok(call, err)                                                                    \
    do {                                                                                           \
        th_code code_ = (call);                                                                    \
        if (code_ != TH_OK)                                                                        \
            fail_msg("%s: %s (%s)", #call, (err)->what, th_code_name(code_));                      \
    } while (0)

static th_world th_mpi_world; // the tests' world

// What a signal handler may read: set once before the first test.
static char th_mpi_test_late[64];

// mpirun ends the job when a rank exits without MPI_Finalize. MPI_Abort is not safe in a handler.
static void th_mpi_test_alarm(int signal_number)
{
    (void)signal_number;
    if (write(STDERR_FILENO, th_mpi_test_late, strlen(th_mpi_test_late)) < 0)
        _exit(2);
    _exit(1);
}

static int th_mpi_test_main(int *argc, char ***argv, const struct CMUnitTest *tests, size_t count,
                            unsigned timeout_s)
{
    th_world *world = &th_mpi_world;
    th_err    err = { 0 };

    th_mpi_leaks_ignore(); // what MPI_Init allocates
    th_code code = th_world_open(argc, argv, world, &err);
    th_mpi_leaks_look_for();
    if (code != TH_OK) {
        (void)fprintf(stderr, "no world: %s\n", err.what);
        return 1;
    }
    if (world->rank > 0 && !freopen("/dev/null", "w", stdout))
        th_world_abort(world, 1);
    (void)snprintf(th_mpi_test_late, sizeof th_mpi_test_late,
                   "rank %d: the test took too long, ending the job\n", world->rank);
    (void)signal(SIGALRM, th_mpi_test_alarm);
    for (size_t i = 0; i < count; i++) {
        struct CMUnitTest one[] = { tests[i] };
        (void)alarm(timeout_s);
        if (cmocka_run_group_tests_name(tests[i].name, one, NULL, NULL) != 0) {
            (void)fprintf(stderr, "rank %d of %d: test %s failed, ending the job\n", world->rank,
                          world->size, tests[i].name);
            th_world_abort(world, 1);
        }
    }
    (void)alarm(timeout_s);
    th_mpi_leaks_check();
    th_world_close(world);
    return 0;
}

#endif
