/* tests/unit/trainer/test_metrics.c - metrics.jsonl: exact lines, cut on resume, a full disk. */
#include "tests/test.h"

#include "base/file.h"
#include "trainer/metrics.h"

#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

static th_step_report step(int64_t n)
{
    return (th_step_report){ .step = n,
                             .total_steps = 100,
                             .batch = 64,
                             .samples_seen = 64 * n,
                             .loss = 1.0 / (double)n,
                             .grad_norm = 0.1 * (double)n,
                             .logit_scale = 2.6592600,
                             .lr = 5e-4,
                             .trains = { false, true },
                             .tower_grad_norm = { 0, 0.25 },
                             .tower_param_norm = { 12.5, 7 },
                             .seconds = 0.25,
                             .data_seconds = 0.001 };
}

static th_metrics *open(const char *folder, int64_t bytes)
{
    th_metrics *metrics = NULL;
    th_err      err = { 0 };

    th_assert_ok(th_metrics_open(folder, bytes, &metrics, &err), &err);
    return metrics;
}

static void write_steps(th_metrics *metrics, int64_t first, int64_t last)
{
    th_err err = { 0 };

    for (int64_t n = first; n <= last; n++) {
        th_step_report report = step(n);
        th_assert_ok(th_metrics_step(metrics, &report, &err), &err);
    }
}

static char *contents(const char *folder, const char *name)
{
    char   path[512], *text = NULL;
    size_t size;
    th_err err = { 0 };

    th_test_path(path, sizeof path, folder, name);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    return text;
}

static void a_line_says_what_was_computed(void **state)
{
    th_metrics *metrics = open(*state, 0);
    char       *text;

    write_steps(metrics, 3, 3);
    th_metrics_close(metrics);
    text = contents(*state, "metrics.jsonl");
    assert_string_equal(text, "{\"step\": 3, \"samples_seen\": 192, \"train/loss\": 0.333333333, "
                              "\"train/grad_norm\": 0.3, \"train/grad_norm/text\": 0.25, "
                              "\"train/param_norm/image\": 12.5, \"train/param_norm/text\": 7, "
                              "\"train/logit_scale\": 2.65926, \"train/lr\": 0.0005}\n");
    free(text);
    text = contents(*state, "timings.jsonl");
    assert_non_null(strstr(text, "\"train/samples_per_second\": 256.00"));
    free(text);
}

static void rates_of_groups_stand_at_the_end(void **state)
{
    th_metrics    *metrics = open(*state, 0);
    th_step_report report = step(1);
    th_err         err = { 0 };

    report.group_rates = "{\"image.head\": 0.001}";
    th_assert_ok(th_metrics_step(metrics, &report, &err), &err);
    th_metrics_close(metrics);
    char *text = contents(*state, "metrics.jsonl");
    assert_non_null(strstr(text, "\"train/lr\": 0.0005, \"train/lr/groups\": "
                                 "{\"image.head\": 0.001}}\n"));
    free(text);
}

// JSON has no NaN.
static void what_is_not_finite_is_null(void **state)
{
    th_metrics    *metrics = open(*state, 0);
    th_step_report report = step(1);
    th_eval_report eval = { .step = 1, .loss = INFINITY };
    th_err         err = { 0 };
    json_error_t   problem;
    char          *text, *line;

    report.loss = report.grad_norm = NAN;
    report.skipped = true;
    th_assert_ok(th_metrics_step(metrics, &report, &err), &err);
    th_assert_ok(th_metrics_eval(metrics, &eval, &err), &err);
    th_metrics_close(metrics);
    text = contents(*state, "metrics.jsonl");
    line = strchr(text, '\n');
    assert_non_null(line);
    *line = '\0';
    json_t *first = json_loads(text, 0, &problem), *second = json_loads(line + 1, 0, &problem);
    assert_true(json_is_null(json_object_get(first, "train/loss")));
    assert_true(json_is_null(json_object_get(first, "train/grad_norm")));
    assert_true(json_is_true(json_object_get(first, "train/skipped")));
    assert_true(json_is_null(json_object_get(second, "val/loss")));
    json_decref(first);
    json_decref(second);
    free(text);
}

// Killed after step 7, resumed from the checkpoint of step 4: the file is that of one run.
static void a_resume_cuts_back_to_the_checkpoint(void **state)
{
    th_metrics *metrics = open(*state, 0);
    int64_t     at;
    char       *whole, *again;
    th_err      err = { 0 };

    write_steps(metrics, 1, 4);
    at = th_metrics_bytes(metrics);
    write_steps(metrics, 5, 9);
    th_assert_ok(th_metrics_flush(metrics, &err), &err);
    th_metrics_close(metrics);
    whole = contents(*state, "metrics.jsonl");

    metrics = open(*state, at);
    again = contents(*state, "metrics.jsonl");
    assert_int_equal(strlen(again), at);
    free(again);
    write_steps(metrics, 5, 9);
    assert_int_equal(th_metrics_bytes(metrics), strlen(whole));
    th_metrics_close(metrics);
    again = contents(*state, "metrics.jsonl");
    assert_string_equal(again, whole);
    free(again);
    free(whole);
}

static void a_file_shorter_than_the_checkpoint_is_refused(void **state)
{
    th_metrics *metrics = open(*state, 0);
    th_err      err = { 0 };
    int64_t     bytes;

    write_steps(metrics, 1, 2);
    bytes = th_metrics_bytes(metrics);
    th_metrics_close(metrics);
    th_assert_error(th_metrics_open(*state, bytes + 1, &metrics, &err), TH_EDATA, &err,
                    "bytes where the checkpoint knows of");
    char *text = contents(*state, "metrics.jsonl"); // and is left as it was
    assert_int_equal(strlen(text), bytes);
    free(text);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    th_metrics *metrics = NULL;
    th_err      err = { 0 };
    char        path[512];

    th_test_path(path, sizeof path, *state, "none");
    th_assert_error(th_metrics_open(path, 0, &metrics, &err), TH_EIO, &err, "could not open file");
    assert_null(metrics);
}

// A file size limit stands for the full disk: write fails (SIGXFSZ is ignored), then room is made.
// Every line is there afterwards, and flush says that they were not before.
static void a_full_disk_loses_no_line(void **state)
{
    struct rlimit limit, small;
    th_metrics   *metrics = open(*state, 0);
    th_err        err = { 0 };
    char         *text;
    int           lines = 0;

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 700; // in the middle of a line
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    write_steps(metrics, 1, 50);
    int64_t bytes = th_metrics_bytes(metrics);
    th_code flushed = th_metrics_flush(metrics, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    th_assert_error(flushed, TH_EIO, &err, "could not write metrics.jsonl");
    text = contents(*state, "metrics.jsonl");
    assert_int_equal(strlen(text), 700);
    free(text);

    th_assert_ok(th_metrics_flush(metrics, &err), &err);
    assert_int_equal(th_metrics_bytes(metrics), bytes);
    th_metrics_close(metrics);
    text = contents(*state, "metrics.jsonl");
    assert_int_equal(strlen(text), bytes);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        char want[32];
        (void)snprintf(want, sizeof want, "{\"step\": %d, ", ++lines);
        assert_memory_equal(line, want, strlen(want));
    }
    assert_int_equal(lines, 50);
    free(text);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_line_says_what_was_computed),
        IN_FOLDER(rates_of_groups_stand_at_the_end),
        IN_FOLDER(what_is_not_finite_is_null),
        IN_FOLDER(a_resume_cuts_back_to_the_checkpoint),
        IN_FOLDER(a_file_shorter_than_the_checkpoint_is_refused),
        IN_FOLDER(a_folder_that_is_not_there_is_an_error),
        IN_FOLDER(a_full_disk_loses_no_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
