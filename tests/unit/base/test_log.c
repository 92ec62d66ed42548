#include "base/file.h"
#include "base/log.h"
#include "tests/test.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

enum { THREADS = 4, LINES = 500 };

// What was written to stderr between the two calls, for the caller to free.
static int begin_stderr(const char *folder)
{
    char path[PATH_MAX];
    int  kept = dup(STDERR_FILENO);

    th_test_path(path, sizeof path, folder, "stderr");
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    assert_true(kept >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    (void)close(file);
    return kept;
}

static char *end_stderr(const char *folder, int kept)
{
    char   path[PATH_MAX];
    char  *text = NULL;
    size_t size = 0;
    th_err err = { 0 };

    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    th_test_path(path, sizeof path, folder, "stderr");
    th_assert_ok(th_file_read(path, 1 << 24, &text, &size, &err), &err);
    return text;
}

static char *read_log(const char *path)
{
    char  *text = NULL;
    size_t size = 0;
    th_err err = { 0 };

    th_assert_ok(th_log_file(NULL, &err), &err);
    th_assert_ok(th_file_read(path, 1 << 24, &text, &size, &err), &err);
    return text;
}

static void *log_lines(void *context)
{
    int thread = *(int *)context;

    for (int i = 0; i < LINES; i++)
        th_info("thread %d line %d %.*s.", thread, i, i % 200,
                "........................................................................"
                "........................................................................"
                "........................................................................");
    return NULL;
}

static void lines_of_threads_are_whole(void **state)
{
    char      path[PATH_MAX];
    th_err    err = { 0 };
    pthread_t threads[THREADS];
    int       numbers[THREADS], next[THREADS] = { 0 };

    th_test_path(path, sizeof path, *state, "log.txt");
    th_log_setup(TH_INFO, 3);
    th_assert_ok(th_log_file(path, &err), &err);
    int kept = begin_stderr(*state);
    for (int t = 0; t < THREADS; t++) {
        numbers[t] = t;
        assert_int_equal(pthread_create(&threads[t], NULL, log_lines, &numbers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    char *shown = end_stderr(*state, kept), *text = read_log(path), *rest = NULL;
    assert_string_equal(shown, text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int thread = -1, number = -1, end = 0;
        // "2026-11-24T08:47:05Z info  rank 3: thread 0 line 7 ......."
        assert_int_equal(
            sscanf(line + 20, " info  rank 3: thread %d line %d %n", &thread, &number, &end), 2);
        assert_int_equal(line[10], 'T');
        assert_int_equal(line[19], 'Z');
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(number, next[thread]++);
        assert_int_equal(strspn(line + 20 + end, "."), number % 200 + 1);
        assert_int_equal(strlen(line + 20 + end), number % 200 + 1);
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(next[t], LINES);
    free(shown);
    free(text);
}

static void clear_bar(void *context)
{
    ++*(int *)context;
}

static void levels_choose_what_stderr_shows(void **state)
{
    char   path[PATH_MAX];
    th_err err = { 0 };
    int    cleared = 0;

    th_test_path(path, sizeof path, *state, "log.txt");
    th_log_setup(TH_WARN, -1);
    th_log_before_line(clear_bar, &cleared);
    th_assert_ok(th_log_file(path, &err), &err);
    int kept = begin_stderr(*state);
    th_debug("one");
    th_info("two");
    th_warn("three");
    th_alarm("four");
    char *shown = end_stderr(*state, kept), *text = read_log(path);
    th_log_before_line(NULL, NULL);
    th_alarm("the log file is closed: on stderr only");
    assert_int_equal(cleared, 2);
    assert_null(strstr(shown, "one"));
    assert_null(strstr(shown, "two"));
    assert_non_null(strstr(shown, "Z warn  three\n"));
    assert_non_null(strstr(shown, "Z ALARM four\n"));
    assert_non_null(strstr(text, "Z debug one\n"));
    assert_non_null(strstr(text, "Z info  two\n"));
    assert_non_null(strstr(text, "Z warn  three\n"));
    assert_string_equal(text + strlen(text) - 6, " four\n");
    free(shown);
    free(text);

    th_assert_ok(th_log_file(path, &err), &err); // appends
    kept = begin_stderr(*state);
    th_info("five");
    free(end_stderr(*state, kept));
    text = read_log(path);
    assert_non_null(strstr(text, "one\n"));
    assert_non_null(strstr(text, "five\n"));
    free(text);
    th_assert_error(th_log_file(*state, &err), TH_EIO, &err, "could not open log file");
}

static void a_line_stays_a_line(void **state)
{
    char  *name = malloc(5000);
    th_err err = { .code = TH_EIO, .what = "could not flush", .fix = "make room", .file = "a.c" };

    assert_non_null(name);
    memset(name, 'x', 4999);
    name[4999] = '\0';
    th_log_setup(TH_INFO, -1);
    int kept = begin_stderr(*state);
    th_info("file \"a\nb\033[2J\x7f\"");
    th_info("%s", name);
    err.line = 7;
    th_log_error(TH_ALARM, &err);
    th_during(&err, "saving");
    th_log_error(TH_ALARM, &err);
    char *shown = end_stderr(*state, kept);
    assert_non_null(strstr(shown, " file \"a?b?[2J?\"\n"));
    char *second = strchr(shown, '\n') + 1;
    assert_int_equal(strcspn(second, "\n"), 2047);
    assert_memory_equal(second + 2047 - 8, "xxxx ...\n", 9);
    const char *errors = strchr(second, '\n') + 1;
    assert_int_equal(strspn(errors, "0123456789-T:Z"), 20);
    assert_non_null(strstr(errors, "Z ALARM could not flush\n"));
    assert_non_null(strstr(errors, "Z ALARM   while: saving\n"));
    assert_non_null(strstr(errors, "Z ALARM   fix:   make room\n"));
    assert_non_null(strstr(errors, "Z ALARM   at:    a.c:7\n"));
    int lines = 0;
    for (const char *at = errors; *at; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 3 + 4);
    free(shown);
    free(name);
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_of_threads_are_whole),
        IN_FOLDER(levels_choose_what_stderr_shows),
        IN_FOLDER(a_line_stays_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
