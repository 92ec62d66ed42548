/* tests/unit/launch/test_refused.c - quarantine.jsonl counted, and what is none refused. */
#include "tests/test.h"

#include "base/file.h"
#include "launch/machine.h"
#include "launch/refused.h"

static void write_lines(const char *folder, const char *text)
{
    char   path[512];
    th_err err = { 0 };

    th_test_path(path, sizeof path, folder, "quarantine.jsonl");
    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
}

static void a_pack_without_the_file_refused_nothing(void **state)
{
    th_refused counts;
    th_err     err = { 0 };

    th_assert_ok(th_refused_count(*state, &counts, &err), &err);
    assert_int_equal(counts.total, 0);
    write_lines(*state, "");
    th_assert_ok(th_refused_count(*state, &counts, &err), &err);
    assert_int_equal(counts.total, 0);
}

static void kinds_are_counted_most_first(void **state)
{
    th_refused counts;
    th_err     err = { 0 };

    write_lines(*state,
                "{\"source\": \"a.tar\", \"key\": \"1\", \"reason\": \"no caption\"}\n"
                "{\"source\": \"a.tar\", \"key\": \"2\", \"reason\": \"not a picture: 0 bytes\"}\n"
                "{\"source\": \"a.tar\", \"key\": \"\\n\", \"reason\": \"not a picture: GIF\"}\n"
                "{\"source\": \"a.tar\", \"key\": null, \"reason\": \"no picture\"}");
    th_assert_ok(th_refused_count(*state, &counts, &err), &err);
    assert_int_equal(counts.total, 4);
    assert_int_equal(counts.others, 0);
    assert_int_equal(counts.reason_count, 3);
    assert_string_equal(counts.reasons[0].reason, "not a picture");
    assert_int_equal(counts.reasons[0].count, 2);
    assert_string_equal(counts.reasons[1].reason, "no caption");
    assert_string_equal(counts.reasons[2].reason, "no picture");
}

static void more_kinds_than_there_is_room_for_are_others(void **state)
{
    char      *text = calloc(100, 64);
    th_refused counts;
    th_err     err = { 0 };

    assert_non_null(text);
    for (int i = 0, used = 0; i < 100; i++)
        used += snprintf(text + used, 64, "{\"reason\": \"kind %d\"}\n", i);
    write_lines(*state, text);
    free(text);
    th_assert_ok(th_refused_count(*state, &counts, &err), &err);
    assert_int_equal(counts.total, 100);
    assert_int_equal(counts.reason_count, TH_REFUSED_REASONS);
    assert_int_equal(counts.others, 100 - TH_REFUSED_REASONS);
}

static void a_line_that_is_no_refusal_is_named(void **state)
{
    static const char *const lines[] = { "{\"reason\": \"x\"}\n{\"reason\": 5}\n",
                                         "{\"reason\": \"x\"}\n[]\n", "{\"reason\": \"x\"}\n\n",
                                         "{\"reason\": \"x\"}\n{\"reason\": \"x\"" };
    th_refused               counts;
    th_err                   err = { 0 };

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_lines(*state, lines[i]);
        th_assert_error(th_refused_count(*state, &counts, &err), TH_EDATA, &err,
                        "quarantine.jsonl\": line 2");
    }
}

static void room_is_that_of_the_nearest_folder(void **state)
{
    uint64_t here_free, here_total, below_free, below_total;
    char     path[600];

    assert_true(th_machine_room(*state, &here_free, &here_total));
    th_test_path(path, sizeof path, *state, "not/yet/there");
    assert_true(th_machine_room(path, &below_free, &below_total));
    assert_true(here_total == below_total && here_free <= here_total);
    assert_true(th_machine_room("not there", &below_free, &below_total));
    assert_true(th_machine_room("/not there", &below_free, &below_total));
    assert_in_range(th_machine_allowed(), 1, th_machine_cores());
    assert_true(th_machine_memory() > 1 << 20);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_pack_without_the_file_refused_nothing),
        IN_FOLDER(kinds_are_counted_most_first),
        IN_FOLDER(more_kinds_than_there_is_room_for_are_others),
        IN_FOLDER(a_line_that_is_no_refusal_is_named),
        IN_FOLDER(room_is_that_of_the_nearest_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
