#include "tests/test.h"

static th_code fails(int value, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(value < 10, TH_EDATA, "use a smaller one", "value %d is too large", value);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "checking %d", value);
}

static th_code forwards(int value, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(fails(value, err));
out:
    return rc == TH_OK ? TH_OK : th_during(err, "forwarding");
}

static void an_error_says_what_where_and_how_to_fix_it(void **state)
{
    th_err err = { 0 };

    (void)state;
    th_assert_ok(forwards(9, &err), &err);
    assert_int_equal(err.code, TH_OK);
    assert_int_equal(forwards(10, &err), TH_EDATA);
    assert_string_equal(err.what, "value 10 is too large");
    assert_string_equal(err.fix, "use a smaller one");
    assert_string_equal(err.trail, "checking 10, forwarding");
    assert_string_equal(err.file, "tests/unit/base/test_error.c"); // not the machine's path
    assert_int_equal(err.line, 7);
    assert_int_equal(fails(11, &err), TH_EDATA);
    assert_string_equal(err.trail, "checking 11"); // an error starts anew
}

static void what_does_not_fit_is_cut(void **state)
{
    char   text[1000];
    th_err err = { 0 };

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(th_fail(&err, TH_EIO, text, __FILE__, __LINE__, "%s", text), TH_EIO);
    assert_int_equal(strlen(err.what), sizeof err.what - 1);
    assert_int_equal(strlen(err.fix), sizeof err.fix - 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(th_during(&err, "step %d", i), TH_EIO);
    assert_true(strlen(err.trail) < sizeof err.trail);
    assert_memory_equal(err.trail, "step 0, step 1, ", 16);
}

static void nobody_needs_to_listen(void **state)
{
    (void)state;
    assert_int_equal(th_fail(NULL, TH_EPEER, NULL, __FILE__, __LINE__, "x"), TH_EPEER);
    assert_int_not_equal(th_during(NULL, "x"), TH_OK);
    th_err err = { 0 };
    assert_int_equal(th_fail(&err, TH_EPEER, NULL, __FILE__, __LINE__, "x"), TH_EPEER);
    assert_string_equal(err.fix, "");
}

static void codes_are_those_a_scheduler_knows(void **state)
{
    (void)state;
    assert_int_equal(th_exit_code(TH_OK), 0);
    assert_int_equal(th_exit_code(TH_EUSAGE), 2);
    assert_int_equal(th_exit_code(TH_EDATA), 65);
    assert_int_equal(th_exit_code(TH_EIO), 74);
    assert_int_equal(th_exit_code(TH_EPEER), 1);
    assert_int_equal(th_exit_code(TH_EFAIL), 1);
    assert_int_equal(th_exit_code(TH_ESTOP), 85);
    assert_int_equal(th_exit_code((th_code)99), 70);
    assert_string_equal(th_code_name(TH_OK), "TH_OK");
    assert_string_equal(th_code_name(TH_ESTOP), "TH_ESTOP");
    assert_string_equal(th_code_name((th_code)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_says_what_where_and_how_to_fix_it),
        cmocka_unit_test(what_does_not_fit_is_cut),
        cmocka_unit_test(nobody_needs_to_listen),
        cmocka_unit_test(codes_are_those_a_scheduler_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
