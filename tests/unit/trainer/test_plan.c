/* tests/unit/trainer/test_plan.c - micro-batches under a memory budget, on costs made up here. */
#include "tests/test.h"

#include "trainer/plan.h"

// A sample costs so many bytes of tape and of scratch; sample `heavy` costs ten times as much.
typedef struct {
    size_t  tape, scratch;
    int64_t heavy;
} sample_cost;

static void bytes(const void *context, int64_t first, int64_t n, size_t *out_tape,
                  size_t *out_scratch)
{
    const sample_cost *c = context;
    size_t             weight = (size_t)n + (c->heavy >= first && c->heavy < first + n ? 9 : 0);

    *out_tape = c->tape * weight;
    *out_scratch = c->scratch * weight;
}

static const sample_cost image = { 100, 30, -1 }, text = { 20, 10, -1 };

static void plan(bool image_trains, bool text_trains, int64_t b, int64_t micro, size_t budget,
                 th_pass_plan out[2])
{
    th_pass_cost cost[2] = { { bytes, &image, image_trains }, { bytes, &text, text_trains } };
    th_err       err = { 0 };

    th_assert_ok(th_plan_passes(cost, b, micro, budget, out, &err), &err);
}

static void assert_plan(const th_pass_plan *got, int64_t micro, int64_t count, int64_t keep)
{
    assert_int_equal(got->micro, micro);
    assert_int_equal(got->count, count);
    assert_int_equal(got->keep, keep);
}

static void plenty_keeps_the_whole_batch_in_one(void **state)
{
    th_pass_plan out[2];

    (void)state;
    plan(true, true, 10, 0, 1 << 20, out);
    assert_plan(&out[0], 10, 1, 1);
    assert_plan(&out[1], 10, 1, 1);
}

// A micro-batch of 2: image tape 200, scratch 60; text 40 and 20. Working room is 260 over what is
// kept, text tapes come first, then image tapes.
static void budgets_keep_text_tapes_first(void **state)
{
    static const struct {
        size_t  budget;
        int64_t image, text;
    } rows[] = {
        { 260, 0, 0 }, { 299, 0, 0 }, { 300, 0, 1 },  { 460, 0, 5 },  { 659, 0, 5 },
        { 660, 1, 5 }, { 859, 1, 5 }, { 1459, 4, 5 }, { 1460, 5, 5 }, { 1000000, 5, 5 },
    };
    th_pass_plan out[2];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plan(true, true, 10, 2, rows[i].budget, out);
        assert_plan(&out[0], 2, 5, rows[i].image);
        assert_plan(&out[1], 2, 5, rows[i].text);
        assert_true(out[0].peak_bytes <= rows[i].budget);
    }
}

// A smaller micro-batch that keeps every tape wins over a larger one that does not.
static void the_largest_that_keeps_all_is_chosen(void **state)
{
    th_pass_plan out[2];

    (void)state;
    // m = 10 works in 1300 and keeps nothing below 1500; all of it with m = 10 is 2500, with m = 5
    // 650 + 1200 = 1850, with m = 3 (four micro-batches counted as full ones) 390 + 1440 = 1830.
    plan(true, true, 10, 0, 2500, out);
    assert_plan(&out[0], 10, 1, 1);
    plan(true, true, 10, 0, 2499, out);
    assert_plan(&out[0], 5, 2, 2);
    plan(true, true, 10, 0, 1849, out);
    assert_plan(&out[0], 3, 4, 4);
}

static void without_room_for_all_the_largest_that_fits_is_chosen(void **state)
{
    th_pass_plan out[2];

    (void)state;
    plan(true, true, 10, 0, 1300, out);
    assert_plan(&out[0], 10, 1, 0);
    plan(true, true, 10, 0, 1299, out);
    assert_plan(&out[0], 5, 2, 0);
    assert_plan(&out[1], 5, 2, 2);
    plan(true, true, 10, 0, 130, out);
    assert_plan(&out[0], 1, 10, 0);
}

// A frozen tower keeps nothing and needs its scratch alone.
static void a_frozen_tower_keeps_nothing(void **state)
{
    th_pass_plan out[2];

    (void)state;
    plan(false, true, 10, 0, 500, out);
    assert_plan(&out[0], 10, 1, 0);
    assert_plan(&out[1], 10, 1, 1);
    plan(false, false, 10, 0, 300, out);
    assert_plan(&out[0], 10, 1, 0);
    assert_plan(&out[1], 10, 1, 0);
}

static void uneven_batches_have_a_shorter_last_one(void **state)
{
    th_pass_plan out[2];

    (void)state;
    plan(true, true, 7, 3, 1 << 20, out);
    assert_plan(&out[0], 3, 3, 3);
    plan(true, true, 7, 100, 1 << 20, out); // more than there are
    assert_plan(&out[0], 7, 1, 1);
    plan(true, true, 1, 0, 1 << 20, out);
    assert_plan(&out[0], 1, 1, 1);
}

static void no_samples_make_no_pass(void **state)
{
    th_pass_plan out[2];

    (void)state;
    plan(true, true, 0, 0, 0, out);
    assert_int_equal(out[0].count + out[1].count + out[0].keep + out[1].keep, 0);
}

// The dearest micro-batch counts, wherever it stands: captions differ in length.
static void the_dearest_micro_batch_counts(void **state)
{
    static const sample_cost heavy = { 20, 10, 5 };
    th_pass_cost             cost[2] = { { bytes, &image, true }, { bytes, &heavy, true } };
    th_pass_plan             out[2];
    th_err                   err = { 0 };

    (void)state;
    // Micro-batches of 2: text costs at most 11 * (20 + 10) = 330.
    th_assert_error(th_plan_passes(cost, 10, 2, 329, out, &err), TH_EUSAGE, &err,
                    "a micro-batch of 2 needs");
    th_assert_ok(th_plan_passes(cost, 10, 2, 330, out, &err), &err);
    assert_int_equal(out[1].keep, 0);
}

static void too_small_a_budget_says_what_is_needed(void **state)
{
    static const sample_cost large = { 3 << 20, 1 << 20, -1 };
    th_pass_cost             cost[2] = { { bytes, &large, true }, { bytes, &text, true } };
    th_pass_plan             out[2];
    th_err                   err = { 0 };

    (void)state;
    th_assert_error(th_plan_passes(cost, 8, 0, 2 << 20, out, &err), TH_EUSAGE, &err,
                    "a micro-batch of 1 needs 4.0 MiB (image) and 0.0 MiB (text), and the memory "
                    "budget leaves 2.0 MiB");
    assert_int_equal(th_plan_passes(cost, 8, 4, 15 << 20, out, &err), TH_EUSAGE);
    assert_non_null(strstr(err.what, "a micro-batch of 4 needs 16.0 MiB"));
    assert_non_null(strstr(err.fix, "memory_budget"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plenty_keeps_the_whole_batch_in_one),
        cmocka_unit_test(budgets_keep_text_tapes_first),
        cmocka_unit_test(the_largest_that_keeps_all_is_chosen),
        cmocka_unit_test(without_room_for_all_the_largest_that_fits_is_chosen),
        cmocka_unit_test(a_frozen_tower_keeps_nothing),
        cmocka_unit_test(uneven_batches_have_a_shorter_last_one),
        cmocka_unit_test(no_samples_make_no_pass),
        cmocka_unit_test(the_dearest_micro_batch_counts),
        cmocka_unit_test(too_small_a_budget_says_what_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
