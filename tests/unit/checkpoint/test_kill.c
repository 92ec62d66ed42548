// A process is killed at random moments while it saves, again and again, over the same folder.
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "tests/unit/checkpoint/fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define KILLS 20

// Saves generations without end, and tells each step that was committed through the pipe.
static void save_forever(fixture *f, int64_t first, int told)
{
    th_writer        *writer = NULL;
    th_writer_options options = { .folder = f->folder, .keep = 2 };

    if (th_writer_open(&options, &f->snapshot, &writer, NULL) != TH_OK)
        _exit(1);
    for (int64_t step = first;; step++) {
        fixture_fill(f, step);
        if (th_writer_save(writer, &f->snapshot, NULL) != TH_OK ||
            th_writer_wait(writer, NULL) != TH_OK || write(told, &step, sizeof step) != sizeof step)
            _exit(1);
    }
}

// Lets a child save until it has committed once, and for `microseconds` more. Returns the last step
// that it told of.
static int64_t run_and_kill(fixture *f, int64_t first, unsigned microseconds)
{
    int     pipes[2], status;
    int64_t step, last = -1;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(pipes[0]);
        save_forever(f, first, pipes[1]);
    }
    assert_int_equal(close(pipes[1]), 0);
    assert_int_equal(read(pipes[0], &last, sizeof last), sizeof last);
    struct timespec pause = { .tv_nsec = (long)microseconds * 1000 };
    (void)nanosleep(&pause, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(pipes[0], &step, sizeof step) == sizeof step)
        last = step;
    assert_int_equal(close(pipes[0]), 0);
    return last;
}

// Every generation in the list must be whole: a manifest never comes before its file. Nothing but
// the writer's own temporary file may be half done; true when the kill left one.
static bool check_folder(const fixture *f, int64_t newest)
{
    th_generation *list = NULL;
    int            count = 0;
    th_err         err = { 0 };
    char           path[PATH_MAX], name[64];

    assert_int_equal(th_generations_list(f->folder, &list, &count, NULL), TH_OK);
    assert_in_range(count, 1, 3); // two are kept, and one before it is pruned
    assert_int_equal(list[0].step, newest);
    for (int i = 0; i < count; i++)
        if (th_generation_verify(f->folder, &list[i], &err) != TH_OK)
            fail_msg("%s: %s", list[i].name, err.what);
    free(list);
    (void)snprintf(name, sizeof name, "step-%08lld.h5.tmp", (long long)newest + 1);
    assert_true(th_path_join(path, sizeof path, f->folder, name));
    return th_path_exists(path);
}

static void killed_at_random_moments(void **state)
{
    fixture *f =
        fixture_open(60000); // 5 MB of state: several chunks, a commit of some milliseconds
    int64_t next = 1;
    int     in_the_middle = 0;
    th_rng  rng;

    (void)state;
    th_rng_init(&rng, 3, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < KILLS; i++) {
        th_reader    *reader = NULL;
        th_generation generation = { 0 };
        th_err        err = { 0 };
        int64_t       told = run_and_kill(f, next, (unsigned)th_rng_below(&rng, 60000));

        if (th_reader_open_newest(f->folder, &reader, &generation, &err) != TH_OK || !reader)
            fail_msg("kill %d: nothing loads: %s", i, err.what);
        // What was told of is there; the one after it may be, when its manifest was just in time.
        assert_in_range(generation.step, told, told + 1);
        fixture_check(f, reader);
        in_the_middle += check_folder(f, generation.step);
        next = generation.step + 1;
        th_reader_close(reader);
    }
    // The child does little but commit, so most kills meet one; none would mean a test of nothing.
    assert_in_range(in_the_middle, 1, KILLS);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(killed_at_random_moments) };

    th_log_setup(TH_WARN, -1); // a generation that is refused after a kill would be a warning
    return cmocka_run_group_tests(tests, NULL, NULL);
}
