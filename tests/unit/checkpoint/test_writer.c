// The writer: its order of events, what it keeps and removes, and what a failure leaves.
#include "base/file.h"
#include "base/log.h"
#include "tests/unit/checkpoint/fixture.h"

static bool is_there(const fixture *f, const char *name)
{
    char path[PATH_MAX];

    assert_true(th_path_join(path, sizeof path, f->folder, name));
    return th_path_exists(path);
}

static void make_file(const fixture *f, const char *name)
{
    char path[PATH_MAX];

    assert_true(th_path_join(path, sizeof path, f->folder, name));
    assert_int_equal(th_file_replace(path, "x", 1, NULL), TH_OK);
}

static void check_newest(fixture *f, int64_t step)
{
    th_reader    *reader = NULL;
    th_generation generation = { .step = -1 };
    th_err        err = { 0 };

    if (th_reader_open_newest(f->folder, &reader, &generation, &err) != TH_OK || !reader)
        fail_msg("nothing to open: %s", err.what);
    assert_int_equal(generation.step, step);
    assert_int_equal(th_reader_state(reader)->step, step);
    fixture_check(f, reader);
    th_reader_close(reader);
}

static void newest_are_kept(void **state)
{
    fixture       *f = fixture_open(9);
    th_generation *list = NULL;
    int            count = 0;

    (void)state;
    fixture_commit(f, 3, (int64_t[]){ 1, 2, 3, 4, 5 }, 5);
    assert_int_equal(th_generations_list(f->folder, &list, &count, NULL), TH_OK);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(list[i].step, 5 - i);
        assert_string_equal(list[i].error, "");
        assert_true(list[i].time > 0 && list[i].bytes > 0);
    }
    free(list);
    assert_false(is_there(f, "step-00000002.h5"));
    check_newest(f, 5);
    fixture_close(f);
}

// A damaged generation does not count as one that is kept.
static void damaged_ones_do_not_count(void **state)
{
    fixture *f = fixture_open(9);

    (void)state;
    fixture_commit(f, 2, (int64_t[]){ 1, 2 }, 2);
    make_file(f, "step-00000002.json");
    fixture_commit(f, 2, (int64_t[]){ 3 }, 1);
    assert_true(is_there(f, "step-00000001.json")); // still needed: 2 is no generation
    fixture_commit(f, 2, (int64_t[]){ 4 }, 1);
    assert_false(is_there(f, "step-00000001.json"));
    assert_false(is_there(f, "step-00000002.json"));
    assert_false(is_there(f, "step-00000002.h5"));
    fixture_close(f);
}

static void leftovers_are_removed(void **state)
{
    static const char *const leftovers[] = { "step-00000009.h5.tmp", "step-00000009-2.h5.tmp",
                                             "step-00000009.json.tmp", "step-00000009.h5" };
    fixture                 *f = fixture_open(9);

    (void)state;
    for (int i = 0; i < 4; i++)
        make_file(f, leftovers[i]);
    make_file(f, "notes.h5"); // not ours
    fixture_commit(f, 2, (int64_t[]){ 1 }, 1);
    for (int i = 0; i < 4; i++)
        assert_false(is_there(f, leftovers[i]));
    assert_true(is_there(f, "notes.h5"));
    check_newest(f, 1);
    fixture_close(f);
}

// The run went back to step 10 because 20 was damaged: 20 must not come back when 15 is committed.
static void generations_beyond_the_step_end(void **state)
{
    fixture *f = fixture_open(9);

    (void)state;
    fixture_commit(f, 2, (int64_t[]){ 10, 20 }, 2);
    fixture_commit(f, 2, (int64_t[]){ 15 }, 1);
    assert_false(is_there(f, "step-00000020.json"));
    check_newest(f, 15);
    fixture_close(f);
}

static void a_step_can_be_saved_again(void **state)
{
    fixture *f = fixture_open(9);

    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture_commit(f, 2, (int64_t[]){ 10 }, 1);
        check_newest(f, 10);
        assert_true(is_there(f, i % 2 ? "step-00000010-2.h5" : "step-00000010.h5"));
    }
    fixture_commit(f, 2, (int64_t[]){ 11 }, 1); // removes the file that no manifest names now
    assert_false(is_there(f, "step-00000010-2.h5"));
    fixture_close(f);
}

typedef struct {
    fixture *f;
    int      calls;
    bool     fail, manifest_was_there;
} hook;

static th_code before_commit(void *context, th_err *err)
{
    hook   *h = context;
    th_code rc = TH_OK;

    h->calls++;
    h->manifest_was_there = is_there(h->f, "step-00000001.json");
    TH_CHECK(!h->fail, TH_EIO, "", "the hook said no");
out:
    return rc;
}

static void hook_comes_before_the_manifest(void **state)
{
    hook              h = { .f = fixture_open(9) };
    th_writer        *writer = NULL;
    th_err            err = { 0 };
    th_writer_options options = { h.f->folder, 2, before_commit, &h };

    (void)state;
    assert_int_equal(th_writer_open(&options, &h.f->snapshot, &writer, &err), TH_OK);
    assert_int_equal(th_writer_status(writer).committed_step, -1);
    h.fail = true;
    assert_int_equal(th_writer_save(writer, &h.f->snapshot, &err), TH_OK);
    assert_int_equal(th_writer_wait(writer, &err), TH_EIO);
    assert_string_equal(err.what, "the hook said no");
    assert_int_equal(th_writer_status(writer).failures, 1);
    assert_int_equal(th_writer_status(writer).committed_step, -1);
    assert_false(is_there(h.f, "step-00000001.h5")); // a failure leaves nothing behind
    assert_false(is_there(h.f, "step-00000001.h5.tmp"));
    h.fail = false;
    assert_int_equal(th_writer_save(writer, &h.f->snapshot, &err), TH_OK);
    assert_int_equal(th_writer_wait(writer, &err), TH_OK);
    assert_int_equal(h.calls, 2);
    assert_false(h.manifest_was_there);
    th_writer_report report = th_writer_status(writer);
    assert_int_equal(report.committed_step, 1);
    assert_true(report.durable_seconds >= report.flushed_seconds && report.flushed_seconds > 0);
    assert_true(report.stall_seconds > 0);
    th_writer_close(writer);
    fixture_close(h.f);
}

// Training changes its weights while the writer works: the save is of the moment it was asked.
static void save_is_a_copy(void **state)
{
    fixture          *f = fixture_open(100000);
    th_writer        *writer = NULL;
    th_err            err = { 0 };
    th_writer_options options = { .folder = f->folder, .keep = 2 };

    (void)state;
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, &err), TH_OK);
    for (int64_t step = 5; step < 8; step++) {
        fixture_fill(f, step);
        assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
        fixture_fill(f, 1000);
    }
    th_writer_close(writer); // waits
    check_newest(f, 7);
    fixture_close(f);
}

// A stage may add moments, a larger snapshot may come: the copy's memory follows.
static void shapes_may_change_between_saves(void **state)
{
    fixture          *f = fixture_open(9), *larger = fixture_open(300000);
    th_writer        *writer = NULL;
    th_err            err = { 0 };
    th_writer_options options = { .folder = f->folder, .keep = 2 };

    (void)state;
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, &err), TH_OK);
    f->parameters[4].exp_avg = fixture_floats(12);
    f->parameters[4].exp_avg_sq = fixture_floats(12);
    fixture_fill(f, 3);
    assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
    assert_int_equal(th_writer_wait(writer, &err), TH_OK);
    check_newest(f, 3);
    fixture_fill(larger, 4);
    assert_int_equal(th_writer_save(writer, &larger->snapshot, &err), TH_OK);
    assert_int_equal(th_writer_wait(writer, &err), TH_OK);
    th_reader *reader = NULL;
    assert_int_equal(th_reader_open_newest(f->folder, &reader, NULL, &err), TH_OK);
    fixture_check(larger, reader);
    th_reader_close(reader);
    th_writer_close(writer);
    fixture_close(larger);
    fixture_close(f);
}

static void one_generation_is_not_enough(void **state)
{
    fixture          *f = fixture_open(9);
    th_writer        *writer = NULL;
    th_writer_options options = { .folder = f->folder, .keep = 1 };

    (void)state;
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, NULL), TH_EUSAGE);
    assert_null(writer);
    fixture_close(f);
}

static void a_file_without_manifest_is_refused(void **state)
{
    fixture   *f = fixture_open(9);
    th_reader *reader = NULL;
    char       path[PATH_MAX];
    th_err     err = { 0 };

    (void)state;
    make_file(f, "step-00000003.h5");
    assert_true(th_path_join(path, sizeof path, f->folder, "step-00000003.h5"));
    assert_int_equal(th_reader_open(path, &reader, &err), TH_EDATA);
    assert_non_null(strstr(err.what, "never committed"));
    assert_int_equal(th_reader_open("weights.bin", &reader, &err), TH_EIO); // no such file
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_are_kept),
        cmocka_unit_test(damaged_ones_do_not_count),
        cmocka_unit_test(leftovers_are_removed),
        cmocka_unit_test(generations_beyond_the_step_end),
        cmocka_unit_test(a_step_can_be_saved_again),
        cmocka_unit_test(hook_comes_before_the_manifest),
        cmocka_unit_test(save_is_a_copy),
        cmocka_unit_test(shapes_may_change_between_saves),
        cmocka_unit_test(one_generation_is_not_enough),
        cmocka_unit_test(a_file_without_manifest_is_refused),
    };

    th_log_setup(TH_ALARM, -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
