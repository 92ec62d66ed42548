#include "base/file.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_text(const char *path, const char *text)
{
    th_err err = { 0 };

    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
}

static void assert_text(const char *path, const char *want)
{
    th_err err = { 0 };
    char  *text = NULL;
    size_t size = 0;

    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    assert_string_equal(text, want);
    assert_int_equal(size, strlen(want));
    free(text);
}

static void replace_makes_and_replaces(void **state)
{
    char path[PATH_MAX], tmp[PATH_MAX];

    th_test_path(path, sizeof path, *state, "status.json");
    th_test_path(tmp, sizeof tmp, *state, "status.json.tmp");
    write_text(path, "first");
    assert_text(path, "first");
    write_text(tmp, "left behind by a killed run, and longer than what comes");
    write_text(path, "second");
    assert_text(path, "second");
    write_text(path, "");
    assert_text(path, "");
    assert_false(th_path_exists(tmp));
}

static void replace_that_fails_leaves_the_old_file(void **state)
{
    char   path[PATH_MAX], inner[PATH_MAX], tmp[PATH_MAX];
    th_err err = { 0 };

    // A rename onto a folder with something in it fails after all was written.
    th_test_path(path, sizeof path, *state, "taken");
    th_test_path(inner, sizeof inner, path, "inner");
    th_test_path(tmp, sizeof tmp, *state, "taken.tmp");
    th_assert_ok(th_folder_make(path, &err), &err);
    write_text(inner, "old");
    th_assert_error(th_file_replace(path, "new", 3, &err), TH_EIO, &err, "could not rename");
    assert_text(inner, "old");
    assert_false(th_path_exists(tmp));

    th_test_path(path, sizeof path, *state, "no such folder/file");
    th_assert_error(th_file_replace(path, "new", 3, &err), TH_EIO, &err, "No such file");
}

static void publish_renames(void **state)
{
    char   tmp[PATH_MAX], path[PATH_MAX];
    th_err err = { 0 };
    int    dir = open(*state, O_RDONLY | O_DIRECTORY);

    assert_true(dir >= 0);
    th_test_path(tmp, sizeof tmp, *state, "a.tmp");
    th_test_path(path, sizeof path, *state, "a");
    write_text(tmp, "one");
    th_assert_ok(th_file_publish(dir, "a.tmp", "a", &err), &err);
    assert_text(path, "one");
    write_text(tmp, "two");
    th_assert_ok(th_file_publish(AT_FDCWD, tmp, path, &err), &err);
    assert_text(path, "two");
    assert_false(th_path_exists(tmp));

    assert_int_equal(th_file_publish(dir, "missing.tmp", "a", &err), TH_EIO);
    assert_string_equal(err.what, "could not open file \"missing.tmp\": No such file or directory");
    assert_string_equal(err.trail, "publishing \"a\"");
    assert_text(path, "two");
    (void)close(dir);

    err = (th_err){ 0 };
    th_assert_ok(th_flush_folder_of(path, &err), &err);
    th_assert_ok(th_flush_folder_of("here", &err), &err);
    th_assert_ok(th_flush_folder_of("/here", &err), &err);
    th_test_path(path, sizeof path, *state, "missing/file");
    th_assert_error(th_flush_folder_of(path, &err), TH_EIO, &err, "could not open directory");
}

enum { PIPED = 1 << 20 };

static void *drain(void *context)
{
    int            fd = *(int *)context;
    unsigned char *bytes = malloc(PIPED);
    size_t         used = 0;

    while (bytes && used < PIPED) {
        ssize_t got = read(fd, bytes + used, 5000);
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used % 7 == 0)
            (void)usleep(1000); // lets the pipe fill, so that the writer waits
    }
    return bytes;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

// A pipe holds 64 KiB, so the writer waits in write(), and a timer without SA_RESTART breaks into
// the wait again and again: short writes and EINTR.
static void write_all_goes_on_when_interrupted(void **state)
{
    struct sigaction action = { .sa_handler = on_alarm };
    struct itimerval every = { { 0, 500 }, { 0, 500 } }, stop = { { 0, 0 }, { 0, 0 } };
    unsigned char   *bytes = malloc(PIPED);
    th_err           err = { 0 };
    int              ends[2];
    pthread_t        reader;
    sigset_t         alarms;
    void            *got;

    (void)state;
    assert_non_null(bytes);
    for (int i = 0; i < PIPED; i++)
        bytes[i] = (unsigned char)((uint32_t)i * 2654435761u >> 24); // no short period
    assert_int_equal(pipe(ends), 0);
    (void)sigemptyset(&alarms);
    (void)sigaddset(&alarms, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &alarms, NULL); // in the reader; the writer takes them
    assert_int_equal(pthread_create(&reader, NULL, drain, &ends[0]), 0);
    (void)pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    th_code code = th_write_all(ends[1], bytes, PIPED, "pipe", &err);
    assert_int_equal(setitimer(ITIMER_REAL, &stop, NULL), 0);
    (void)close(ends[1]);
    assert_int_equal(pthread_join(reader, &got), 0);
    (void)close(ends[0]);
    th_assert_ok(code, &err);
    assert_memory_equal(got, bytes, PIPED);
    free(got);
    free(bytes);
}

static void write_all_tells_what_went_wrong(void **state)
{
    static const char block[1 << 17];
    th_err            err = { 0 };
    int               ends[2], full = open("/dev/full", O_WRONLY);

    (void)state;
    assert_true(full >= 0);
    th_assert_error(th_write_all(full, "x", 1, "step.h5", &err), TH_EIO, &err,
                    "could not write file \"step.h5\": No space left on device");
    (void)close(full);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    th_assert_error(th_write_all(ends[1], block, sizeof block, "pipe", &err), TH_EIO, &err,
                    "temporarily unavailable");
    (void)close(ends[0]);
    (void)close(ends[1]);
    th_assert_error(th_write_all(-1, "x", 1, "none", &err), TH_EIO, &err, "Bad file descriptor");
    th_assert_ok(th_write_all(-1, NULL, 0, "none", &err), &err);
}

static void read_keeps_its_limit(void **state)
{
    char   path[PATH_MAX], big[10000];
    char  *text = NULL;
    size_t size = 0;
    th_err err = { 0 };

    th_test_path(path, sizeof path, *state, "file");
    write_text(path, "12345");
    th_assert_ok(th_file_read(path, 5, &text, &size, &err), &err);
    assert_string_equal(text, "12345");
    free(text);
    text = NULL;
    th_assert_error(th_file_read(path, 4, &text, &size, &err), TH_EDATA, &err,
                    "5 bytes, at most 4");
    memset(big, 'x', sizeof big);
    th_assert_ok(th_file_replace(path, big, sizeof big, &err), &err);
    th_assert_ok(th_file_read(path, sizeof big, &text, &size, &err), &err);
    assert_int_equal(size, sizeof big);
    assert_int_equal(text[size], 0);
    free(text);
    text = NULL;

    // These have no size to go by: one is a few hundred bytes, the other has no end.
    th_assert_ok(th_file_read("/proc/self/status", 1 << 20, &text, &size, &err), &err);
    assert_non_null(strstr(text, "VmRSS"));
    free(text);
    text = NULL;
    th_assert_error(th_file_read("/dev/zero", 100000, &text, &size, &err), TH_EDATA, &err,
                    "at most 100000");
    th_assert_error(th_file_read(*state, 1 << 20, &text, &size, &err), TH_EIO, &err, "directory");
    th_test_path(path, sizeof path, *state, "missing");
    th_assert_error(th_file_read(path, 100, &text, &size, &err), TH_EIO, &err, "No such file");
    assert_null(text);
}

static void folders_are_made(void **state)
{
    char   path[PATH_MAX];
    th_err err = { 0 };

    th_test_path(path, sizeof path, *state, "a//b/c/");
    th_assert_ok(th_folder_make(path, &err), &err);
    assert_true(th_path_exists(path));
    th_assert_ok(th_folder_make(path, &err), &err);
    th_assert_ok(th_folder_make("/", &err), &err);
    th_test_path(path, sizeof path, *state, "file");
    write_text(path, "");
    th_assert_error(th_folder_make(path, &err), TH_EIO, &err, "File exists");
    th_test_path(path, sizeof path, *state, "file/below");
    th_assert_error(th_folder_make(path, &err), TH_EIO, &err, "could not make folder");
    th_assert_error(th_folder_make("", &err), TH_EIO, &err, "could not make folder");
}

static void paths_join(void **state)
{
    char out[8];

    (void)state;
    assert_true(th_path_join(out, sizeof out, "a", "b"));
    assert_string_equal(out, "a/b");
    assert_true(th_path_join(out, sizeof out, "a/", "b"));
    assert_string_equal(out, "a/b");
    assert_true(th_path_join(out, sizeof out, "", "b"));
    assert_string_equal(out, "b");
    assert_true(th_path_join(out, sizeof out, "abc", "def"));
    assert_false(th_path_join(out, sizeof out, "abcd", "def"));
}

// Another process tries the lock: its exit status is the code, and it has checked the words itself.
static int try_lock_elsewhere(const char *path, const char *owner)
{
    int   status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        th_err  err = { 0 };
        int     fd = -1;
        th_code code = th_file_lock(path, "the child", &fd, &err);
        _exit(code != TH_OK && !strstr(err.what, owner) ? 100 : (int)code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void lock_is_held_by_one_process(void **state)
{
    char   path[PATH_MAX];
    th_err err = { 0 };
    int    fd = -1;

    th_test_path(path, sizeof path, *state, "lock");
    write_text(path, "a longer text of an owner that is gone");
    th_assert_ok(th_file_lock(path, "node7 pid 4711", &fd, &err), &err);
    assert_text(path, "node7 pid 4711");
    assert_int_equal(try_lock_elsewhere(path, "locked by node7 pid 4711"), TH_EUSAGE);
    assert_int_equal(try_lock_elsewhere(path, "locked by node7 pid 4711"), TH_EUSAGE);
    assert_int_equal(close(fd), 0);
    assert_int_equal(try_lock_elsewhere(path, ""), TH_OK);
    th_assert_ok(th_file_lock(path, "again", &fd, &err), &err); // the child ended, and so its lock
    (void)close(fd);
    th_assert_error(th_file_lock(*state, "x", &fd, &err), TH_EIO, &err, "could not open lock file");
}

// Looking at a lock takes nothing away, and a process that starts at that moment gets it.
static void a_lock_may_be_looked_at(void **state)
{
    char   path[PATH_MAX], owner[64];
    bool   held = true;
    th_err err = { 0 };
    int    fd = -1, status = -1;

    th_test_path(path, sizeof path, *state, "lock");
    th_assert_ok(th_file_locked(path, &held, owner, sizeof owner, &err), &err);
    assert_false(held); // it is not even there, and was not made
    assert_false(th_path_exists(path));
    th_assert_ok(th_file_lock(path, "node7 pid 4711", &fd, &err), &err);
    th_assert_ok(th_file_locked(path, &held, owner, sizeof owner, &err), &err);
    assert_true(held);
    assert_string_equal(owner, "node7 pid 4711");
    assert_int_equal(try_lock_elsewhere(path, "locked by node7 pid 4711"), TH_EUSAGE); // still
    assert_int_equal(close(fd), 0);
    th_assert_ok(th_file_locked(path, &held, owner, sizeof owner, &err), &err);
    assert_false(held);
    assert_string_equal(owner, "");

    int look = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(look >= 0 && flock(look, LOCK_SH) == 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit((int)th_file_lock(path, "the child", &fd, &err));
    (void)usleep(50000); // the child waits meanwhile
    assert_int_equal(flock(look, LOCK_UN), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TH_OK);
    (void)close(look);
}

static void replace_unflushed_renames(void **state)
{
    char   path[PATH_MAX], tmp[PATH_MAX];
    th_err err = { 0 };

    th_test_path(path, sizeof path, *state, "x");
    th_test_path(tmp, sizeof tmp, *state, "x.tmp");
    write_text(path, "a longer text");
    th_assert_ok(th_file_replace_unflushed(path, "new", 3, &err), &err);
    assert_text(path, "new");
    assert_false(th_path_exists(tmp));
    th_test_path(path, sizeof path, *state, "none/x");
    th_assert_error(th_file_replace_unflushed(path, "new", 3, &err), TH_EIO, &err,
                    "could not make file");
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(replace_makes_and_replaces),
        IN_FOLDER(replace_that_fails_leaves_the_old_file),
        IN_FOLDER(replace_unflushed_renames),
        IN_FOLDER(publish_renames),
        cmocka_unit_test(write_all_goes_on_when_interrupted),
        cmocka_unit_test(write_all_tells_what_went_wrong),
        IN_FOLDER(read_keeps_its_limit),
        IN_FOLDER(folders_are_made),
        cmocka_unit_test(paths_join),
        IN_FOLDER(lock_is_held_by_one_process),
        IN_FOLDER(a_lock_may_be_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
