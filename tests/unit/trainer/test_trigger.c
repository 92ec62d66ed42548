/* tests/unit/trainer/test_trigger.c - when a stage ends: steps, plateaus, thresholds, and never on
 * what is not finite. */
#include "stage_fixture.h"

#include "trainer/schedule/trigger.h"

static th_trigger trigger_of(stage_case *f, const char *text)
{
    th_stage   stage = stage_of(f, text);
    th_trigger trigger = { 0 };
    th_err     err = { 0 };
    int64_t    steps;

    th_assert_ok(th_stage_steps(&stage, &f->table, RECORDS, f->before, &steps, &err), &err);
    th_assert_ok(th_trigger_limits(&stage, RECORDS, steps, &trigger, &err), &err);
    return trigger;
}

// A value a step, from step 1 on; the step at which the stage has ended, 0 when none of them.
static int64_t ends_at(stage_case *f, const char *text, const char *metric, const double *values,
                       int count)
{
    th_trigger trigger = trigger_of(f, text);

    for (int i = 0; i < count; i++) {
        th_trigger_see(&trigger, "train/nothing", -1e200); // of another name
        th_trigger_see(&trigger, metric, values[i]);
        if (th_trigger_ended(&trigger, i + 1))
            return i + 1;
    }
    return 0;
}

static void a_stage_ends_after_its_steps(void **state)
{
    static const struct {
        const char *stage;
        int64_t     want;
    } rows[] = { { "train=all;for=7 steps", 7 },
                 { "train=all;for=1 epoch", 100 },
                 { "train=all;for=70 samples", 7 },
                 { "train=all;for=70 samples;batch=20", 3 } };
    stage_case *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_trigger trigger = trigger_of(f, rows[i].stage);
        assert_false(th_trigger_ended(&trigger, rows[i].want - 1));
        assert_true(th_trigger_ended(&trigger, rows[i].want));
    }
}

#define P "train=all;until.plateau=val/loss;until.patience=2"
#define R "train=all;until.plateau=val/text_to_image_R@1;until.patience=2"

static const struct {
    const char *name, *stage, *metric;
    double      values[8];
    int         count;
    int64_t     want;
} cases[] = {
    { "a_falling_loss_goes_on", P, "val/loss", { 5, 4, 3, 2, 1, 0 }, 6, 0 },
    { "a_loss_that_stays_is_a_plateau", P, "val/loss", { 5, 5, 5, 5 }, 4, 3 },
    { "a_gain_begins_the_count_anew", P, "val/loss", { 5, 6, 4, 6, 3, 6, 6, 2 }, 8, 7 },
    { "patience_is_three_by_default",
      "train=all;until.plateau=val/loss",
      "val/loss",
      { 5, 5, 5, 5, 5 },
      5,
      4 },
    { "the_best_counts_not_the_last", P, "val/loss", { 5, 3, 5, 4 }, 4, 4 },
    { "a_gain_of_min_delta_or_less_is_none",
      P ";until.min_delta=0.5",
      "val/loss",
      { 5, 4.6, 4.5 },
      3,
      3 },
    { "small_gains_do_not_add_up_past_the_best",
      P ";until.min_delta=0.5",
      "val/loss",
      { 5, 4.8, 4.4, 4.2, 4 },
      5,
      5 },
    { "not_before_min", P ";until.min=5 steps", "val/loss", { 5, 5, 5, 5, 5, 5 }, 6, 5 },
    { "max_ends_it_all_the_same", P ";until.max=4 steps", "val/loss", { 5, 4, 3, 2, 1 }, 5, 4 },
    { "for_ends_it_too", P ";for=3 steps", "val/loss", { 5, 4, 3, 2, 1 }, 5, 3 },
    { "of_recall_more_is_better", R, "val/text_to_image_R@1", { 0.1, 0.2, 0.3, 0.4 }, 4, 0 },
    { "recall_that_falls_is_a_plateau", R, "val/text_to_image_R@1", { 0.3, 0.2, 0.1 }, 3, 3 },
    { "of_ranks_less_is_better",
      "train=all;until.plateau=val/image_to_text_median_rank",
      "val/image_to_text_median_rank",
      { 9, 8, 7, 6, 5 },
      5,
      0 },
    { "of_a_towers_gradient_less_is_better",
      "train=all;until.plateau=train/grad_norm/image;until.patience=2",
      "train/grad_norm/image",
      { 5, 4, 3, 3, 3 },
      5,
      5 },
    { "norms_of_weights_cross_thresholds",
      "train=all;until.metric=train/param_norm/text;until.above=7",
      "train/param_norm/text",
      { 5, 6, 7, 7.5 },
      4,
      4 },
    { "nan_is_never_better", P, "val/loss", { 5, NAN, NAN }, 3, 3 },
    { "nan_first_is_no_best", P, "val/loss", { NAN, 5, 4, 3, 2 }, 5, 0 },
    { "minus_infinity_is_no_best", P, "val/loss", { 5, -INFINITY, 4, 3 }, 4, 0 },
    { "other_metrics_do_not_count", P, "train/loss", { 5, 5, 5, 5 }, 4, 0 },
    { "below_its_threshold",
      "train=all;until.metric=val/loss;until.below=2",
      "val/loss",
      { 3, 2, 1.9, 5 },
      4,
      3 },
    { "above_its_threshold",
      "train=all;until.metric=val/image_to_text_R@1;until.above=0.5",
      "val/image_to_text_R@1",
      { 0.4, 0.5, 0.6 },
      3,
      3 },
    { "a_threshold_once_crossed_waits_for_min",
      "train=all;until.metric=val/loss;until.below=2;until.min=4 steps",
      "val/loss",
      { 3, 1, 3, 3, 3 },
      5,
      4 },
    { "a_threshold_has_a_max",
      "train=all;until.metric=val/loss;until.below=2;until.max=3 steps",
      "val/loss",
      { 9, 9, 9, 9 },
      4,
      3 },
    { "nan_crosses_nothing",
      "train=all;until.metric=train/loss;until.below=2",
      "train/loss",
      { NAN, NAN },
      2,
      0 },
    { "infinity_crosses_nothing",
      "train=all;until.metric=train/loss;until.below=2",
      "train/loss",
      { INFINITY, INFINITY },
      2,
      0 },
};

static void ends_when(void **state)
{
    stage_case *f = NULL;
    void       *made = NULL;
    size_t      i = (size_t)*state;

    assert_int_equal(set_up(&made), 0);
    f = made;
    assert_int_equal(ends_at(f, cases[i].stage, cases[i].metric, cases[i].values, cases[i].count),
                     cases[i].want);
    assert_int_equal(tear_down(&made), 0);
}

// A resumed stage has its limits laid out anew around the state that it had.
static void limits_leave_the_state(void **state)
{
    stage_case *f = *state;
    th_stage    stage = stage_of(f, P ";until.min=9 steps");
    th_trigger  trigger = { .best = 3, .seen = true, .since = 1, .fell = true };
    th_err      err = { 0 };

    th_assert_ok(th_trigger_limits(&stage, RECORDS, 12, &trigger, &err), &err);
    assert_true(trigger.best == 3 && trigger.seen && trigger.since == 1 && trigger.fell);
    assert_int_equal(trigger.least, 9);
    assert_int_equal(trigger.most, 12);
    assert_int_equal(trigger.patience, 2);
    th_stage wrong = stage_of(f, P ";until.min=1 min");
    th_assert_error(th_trigger_limits(&wrong, RECORDS, 12, &trigger, &err), TH_EUSAGE, &err,
                    "option until.min must be in steps");
}

#define CASES (sizeof cases / sizeof *cases)

int main(void)
{
    struct CMUnitTest tests[CASES + 2] = {
        WITH_TABLE(a_stage_ends_after_its_steps),
        WITH_TABLE(limits_leave_the_state),
    };

    for (size_t i = 0; i < CASES; i++)
        tests[2 + i] = (struct CMUnitTest){ .name = cases[i].name,
                                            .test_func = ends_when,
                                            .initial_state = (void *)i };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
