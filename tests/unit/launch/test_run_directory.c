/* tests/unit/launch/test_run_directory.c - made, locked, the same run as before, halted. */
#include "tests/test.h"

#include "base/file.h"
#include "base/log.h"
#include "launch/run_directory.h"
#include "launch/run_file.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char        run_file[512], run[512];
    th_schedule schedule;
    th_arena    pool;
    char       *resolved;
} given;

// The options of that run file, as `thaw train` has them.
static void give(given *g, const char *folder, const char *text)
{
    th_err err = { 0 };

    th_test_path(g->run_file, sizeof g->run_file, folder, "first.yaml");
    th_test_path(g->run, sizeof g->run, folder, "runs/first");
    th_assert_ok(th_file_replace(g->run_file, text, strlen(text), &err), &err);
    th_assert_ok(th_arena_open(&g->pool, 8 << 20, &err), &err);
    th_assert_ok(th_run_file_load(g->run_file, false, NULL, &g->pool, &g->schedule, &err), &err);
    th_assert_ok(th_run_file_text(&g->schedule, true, &g->resolved, &err), &err);
}

static void give_back(given *g)
{
    free(g->resolved);
    th_arena_close(&g->pool);
}

static th_code open_with(given *g, const char *folder, const char *text, th_run_directory *out,
                         th_err *err)
{
    give(g, folder, text);
    th_code rc =
        th_run_directory_open(g->run, g->run_file, &g->schedule, g->resolved, false, out, err);
    (void)th_log_file(NULL, NULL); // it lies in the folder that goes away
    give_back(g);
    return rc;
}

static bool there(const given *g, const char *name)
{
    char path[600];

    th_test_path(path, sizeof path, g->run, name);
    return th_path_exists(path);
}

#define TEXT "data: {train: packs/x}\nbatch: 64\nlr: {text.embed: 16x}\n"

static void a_name_comes_from_the_run_file(void **state)
{
    static const struct {
        const char *file, *run_dir, *want;
    } rows[] = { { "emoji.yaml", NULL, "runs/emoji" },
                 { "/a/b.c/emoji.small.yaml", NULL, "runs/emoji" },
                 { "x/emoji", NULL, "runs/emoji" },
                 { "emoji.yaml", "/scratch/e 1", "/scratch/e 1" } };
    char   got[64], small[8];
    th_err err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_assert_ok(th_run_directory_name(rows[i].file, rows[i].run_dir, got, sizeof got, &err),
                     &err);
        assert_string_equal(got, rows[i].want);
    }
    th_assert_error(th_run_directory_name("emoji.yaml", NULL, small, sizeof small, &err), TH_EUSAGE,
                    &err, "too long");
}

static void a_new_one_is_made_and_opened_again(void **state)
{
    given            g = { 0 };
    th_run_directory directory;
    th_schedule      before;
    th_arena         pool;
    th_err           err = { 0 };

    for (int start = 0; start < 2; start++) {
        th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
        th_run_directory_close(&directory);
    }
    assert_true(there(&g, "config.yaml") && there(&g, "config.resolved.yaml"));
    assert_true(there(&g, "env.json") && there(&g, "log.txt"));
    assert_false(there(&g, "DONE"));
    th_assert_ok(th_run_directory_done(&directory, &err), &err);
    assert_true(there(&g, "DONE"));

    th_assert_ok(th_arena_open(&pool, 1 << 20, &err), &err);
    th_assert_ok(th_run_directory_schedule(g.run, &before, &pool, &err), &err);
    assert_int_equal(before.options.batch, 64);
    assert_string_equal(before.options.train, "packs/x");
    assert_int_equal(before.options.lr_factors.count, 1);
    th_assert_error(th_run_directory_schedule(*state, &before, &pool, &err), TH_EDATA, &err,
                    "is not a run directory");
    th_arena_close(&pool);
}

static void another_configuration_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *what;
    } rows[] = {
        { "data: {train: packs/x}\nbatch: 32\nlr: {text.embed: 16x}\n",
          "option batch was 64 when run" },
        { "data: {train: packs/y}\nbatch: 64\nlr: {text.embed: 16x}\n",
          "option data.train was packs/x when run" },
        { "data: {train: packs/x}\nbatch: 64\n", "option lr.* was " },
        { TEXT "seed: 2\n", "option seed was 1 when run" },
        { TEXT "data.val: packs/v\n", "option data.val was not set when run" },
        { TEXT "optimizer.lr: 1e-3\n", "option optimizer.lr was " },
    };
    given            g = { 0 };
    th_run_directory directory;
    th_err           err = { 0 };

    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    th_run_directory_close(&directory);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        th_assert_error(open_with(&g, *state, rows[i].text, &directory, &err), TH_EUSAGE, &err,
                        rows[i].what);
    // The first configuration still stands.
    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    th_run_directory_close(&directory);
}

static void what_may_differ_at_each_start_may(void **state)
{
    given            g = { 0 };
    th_run_directory directory;
    th_err           err = { 0 };

    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    th_run_directory_close(&directory);
    th_assert_ok(open_with(&g, *state,
                           TEXT "threads: 2\nmicro_batch: 8\nmemory_budget: 1 GiB\n"
                                "checkpoint: {every: 5 min, keep: 7}\n",
                           &directory, &err),
                 &err);
    th_run_directory_close(&directory);
}

// Another process holds the lock until it is killed; no file has to be removed by hand.
static void one_process_at_a_time(void **state)
{
    given            g = { 0 };
    th_run_directory directory;
    th_err           err = { 0 };
    int              ends[2], status;
    char             byte, owner[32];

    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (open_with(&g, *state, TEXT, &directory, &err) != TH_OK || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    th_code rc = open_with(&g, *state, TEXT, &directory, &err);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)snprintf(owner, sizeof owner, "pid %d", (int)pid);
    th_assert_error(rc, TH_EUSAGE, &err, owner);
    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    th_run_directory_close(&directory);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void halt_is_seen_and_then_forgotten(void **state)
{
    given            g = { 0 };
    th_run_directory directory;
    char             path[600];
    th_err           err = { 0 };

    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    assert_false(th_run_directory_halted(g.run));
    th_test_path(path, sizeof path, g.run, "halt");
    th_assert_ok(th_file_replace(path, "", 0, &err), &err);
    assert_true(th_run_directory_halted(g.run));
    th_run_directory_close(&directory);
    th_assert_ok(open_with(&g, *state, TEXT, &directory, &err), &err);
    assert_false(th_run_directory_halted(g.run));
    th_run_directory_close(&directory);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_comes_from_the_run_file),
        IN_FOLDER(a_new_one_is_made_and_opened_again),
        IN_FOLDER(another_configuration_is_refused_by_name),
        IN_FOLDER(what_may_differ_at_each_start_may),
        IN_FOLDER(one_process_at_a_time),
        IN_FOLDER(halt_is_seen_and_then_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
