/* tests/unit/trainer/test_stage_state.c - what a checkpoint remembers of a stage comes back, or is
 * refused. */
#include "stage_fixture.h"

#include "trainer/schedule/stage_state.h"

static void comes_back_to_the_bit(void **state)
{
    static const double bests[] = { 0, 1.0 / 3, -0.1, 5e-324, 1.7976931348623157e308, 2 };
    th_err              err = { 0 };
    char                text[4096];

    (void)state;
    for (int rows = 1; rows < 300; rows += 13)
        for (size_t i = 0; i < sizeof bests / sizeof *bests; i++) {
            bool       was[300], is[300];
            th_trigger saved = {
                .best = bests[i], .seen = i % 2, .since = 7 * (int64_t)i, .fell = i % 3 == 0
            };
            th_trigger got = { .least = 5, .most = 9, .patience = 2 };
            for (int k = 0; k < rows; k++)
                was[k] = (k * 7 + rows + (int)i) % 3 == 0;
            th_assert_ok(th_stage_state_print(was, rows, &saved, text, sizeof text, &err), &err);
            th_assert_ok(th_stage_state_read(text, is, rows, &got, &err), &err);
            assert_memory_equal(was, is, (size_t)rows * sizeof *was);
            assert_true(got.best == saved.best);
            assert_true(got.seen == saved.seen && got.since == saved.since &&
                        got.fell == saved.fell);
            assert_true(got.least == 5 && got.most == 9 && got.patience == 2);
        }
}

static void an_empty_text_leaves_all(void **state)
{
    bool       before[2] = { true, false };
    th_trigger trigger = { .best = 3, .seen = true, .since = 4, .fell = true };
    th_err     err = { 0 };

    (void)state;
    th_assert_ok(th_stage_state_read("", before, 2, &trigger, &err), &err);
    assert_true(before[0] && !before[1] && trigger.best == 3 && trigger.seen);
    assert_true(trigger.since == 4 && trigger.fell);
}

static void damage_is_refused(void **state)
{
    static const struct {
        const char *text, *what;
    } rows[] = {
        { "{", "cannot be read" },
        { "null", "cannot be read" },
        { "{}", "cannot be read" },
        { "{\"before\":\"3\",\"seen\":true,\"best\":1.0,\"since\":1}", "cannot be read" },
        { "{\"before\":\"3\",\"seen\":1,\"best\":1.0,\"since\":1,\"fell\":false}",
          "cannot be read" },
        { "{\"before\":\"3\",\"seen\":true,\"best\":\"x\",\"since\":1,\"fell\":false}",
          "cannot be read" },
        { "{\"before\":7,\"seen\":true,\"best\":1.0,\"since\":1,\"fell\":false}",
          "cannot be read" },
        { "{\"before\":\"\",\"seen\":true,\"best\":1.0,\"since\":1,\"fell\":false}",
          "of another model" },
        { "{\"before\":\"33\",\"seen\":true,\"best\":1.0,\"since\":1,\"fell\":false}",
          "of another model" },
        { "{\"before\":\"g\",\"seen\":true,\"best\":1.0,\"since\":1,\"fell\":false}",
          "of another model" },
    };
    bool       before[4];
    th_trigger trigger;
    th_err     err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        th_assert_error(th_stage_state_read(rows[i].text, before, 4, &trigger, &err), TH_EDATA,
                        &err, rows[i].what);
}

static void what_does_not_fit_is_refused(void **state)
{
    static bool before[12001];
    th_trigger  trigger = { 0 };
    th_err      err = { 0 };
    char        text[4096];

    (void)state;
    th_assert_ok(th_stage_state_print(before, 12000, &trigger, text, sizeof text, &err), &err);
    th_assert_error(th_stage_state_print(before, 12001, &trigger, text, sizeof text, &err),
                    TH_EUSAGE, &err, "tables of at most 12000 parameters, not 12001");
    size_t size = strlen(text);
    th_assert_ok(th_stage_state_print(before, 12000, &trigger, text, size + 1, &err), &err);
    th_assert_error(th_stage_state_print(before, 12000, &trigger, text, size, &err), TH_EUSAGE,
                    &err, "does not fit into a checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_to_the_bit),
        cmocka_unit_test(an_empty_text_leaves_all),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
