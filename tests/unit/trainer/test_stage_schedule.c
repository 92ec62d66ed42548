/* tests/unit/trainer/test_stage_schedule.c - a run of stages is checked before it starts; its
 * length; what a later stage trains. */
#include "stage_fixture.h"

#include "trainer/schedule/trigger.h"

#define MOST 4

// Stages from a list of texts that ends in NULL.
static th_schedule schedule_of(stage_case *f, const char *const texts[MOST], th_stage room[MOST])
{
    th_schedule schedule = { .stages = room };

    for (; schedule.stage_count < MOST && texts[schedule.stage_count]; schedule.stage_count++)
        room[schedule.stage_count] = stage_of(f, texts[schedule.stage_count]);
    return schedule;
}

static const char *const good[][MOST] = {
    { "train=all;for=5 steps" },
    { "train=[text, heads];for=5 steps",
      "unfreeze.image.one_group_every=3 steps;layer_decay.image=0.75",
      "freeze=text;until.plateau=val/loss;until.min=2 steps;until.max=9 steps",
      "train=all;until.metric=train/loss;until.below=0.5" },
    { "train=heads;until.plateau=train/grad_norm", "freeze=logit_scale;for=1 epoch" },
};

static void good_schedules_pass(void **state)
{
    stage_case *f = *state;
    th_stage    room[MOST];
    th_err      err = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        th_schedule schedule = schedule_of(f, good[i], room);
        th_assert_ok(th_schedule_check(&schedule, &f->table, RECORDS, &err), &err);
    }
    th_schedule single = { .options = room[0].options };
    single.options.length = (th_span){ 3, TH_EPOCHS };
    th_schedule_single(&single, room);
    th_assert_ok(th_schedule_check(&single, &f->table, RECORDS, &err), &err);
    assert_true(single.single && single.stage_count == 1);
}

// The last stage given is the one that is wrong, and named.
static const struct {
    const char *stages[MOST], *what;
} wrong[] = {
    { { "for=5 steps" }, "it does not say what trains" },
    { { "train=all" }, "it has no end" },
    { { "train=all;for=0 steps" }, "it has no end" },
    { { "train=text;for=5 steps", "train=all" }, "it has no end" },
    { { "train=all;for=5 steps", "unfreeze.image.one_group_every=5 steps" },
      "it has no end: there is nothing left to thaw" },
    { { "train=all;for=5 steps", "freeze=all;for=5 steps" }, "it trains nothing" },
    { { "train=text;for=5 steps", "freeze=text;for=5 steps" }, "it trains nothing" },
    { { "train=text;for=5 steps", "unfreeze=image.top(1) ;train=txt;for=5 steps" },
      "pattern \"txt\" of train selects no parameter" },
    { { "train=all;for=5 steps", "train=all;for=5 steps" }, "another stage has that name" },
    { { "train=all;for=3 h" }, "option for must be in steps, samples or epochs" },
    { { "train=all;for=5 steps;batch=1001" }, "batch is 1001 and the pack has 1000 samples" },
    { { "train=heads;unfreeze.tower=image;for=5 steps" }, "go together" },
    { { "train=heads;unfreeze.one_group_every=5 steps;for=5 steps" }, "go together" },
    { { "train=heads;unfreeze.tower=text;unfreeze.one_group_every=5 steps;"
        "unfreeze.text.one_group_every=6 steps" },
      "unfreeze.tower and unfreeze.text both say" },
    { { "train=all;for=5 steps;layer_decay.fusion=0.5" }, "layer_decay has no tower \"fusion\"" },
    { { "train=all;for=5 steps;layer_decay.image=-0.5" }, "layer_decay of image is -0.5" },
    { { "train=all;for=5 steps;layer_decay.text=1.5" }, "layer_decay of text is 1.5" },
    { { "train=all;for=5 steps;until.metric=val/loss" }, "until.metric goes with until.below" },
    { { "train=all;for=5 steps;until.below=1" }, "until.metric goes with until.below" },
    { { "train=text;until.plateau=train/grad_norm/image" },
      "it waits for train/grad_norm/image, and nothing of that tower trains in it" },
    { { "train=all;until.plateau=val/accuracy" }, "it waits for \"val/accuracy\", which no run" },
    { { "train=all;until.metric=loss;until.below=1" }, "it waits for \"loss\", which no run has" },
    { { "train=all;until.plateau=val/loss;eval.every=never" }, "and eval.every is never" },
    { { "train=all;until.min=5 steps;for=9 steps" }, "until.min goes with" },
    { { "train=all;until.plateau=val/loss;until.min=5 steps;until.max=4 steps" },
      "until.min is 5 steps and its end is at 4" },
};

static void wrong_ones_are_refused(void **state)
{
    stage_case *f = *state;
    th_stage    room[MOST];
    th_err      err = { 0 };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        th_schedule schedule = schedule_of(f, wrong[i].stages, room);
        th_code     rc = th_schedule_check(&schedule, &f->table, RECORDS, &err);
        const char *name = room[schedule.stage_count - 1].own.name;
        if (!strstr(err.trail, name))
            fail_msg("\"%s\" is not named: %s: %s", name, err.what, err.trail);
        th_assert_error(rc, TH_EUSAGE, &err, wrong[i].what);
    }
    th_schedule schedule =
        schedule_of(f, (const char *[MOST]){ "train=all;until.plateau=val/loss" }, room);
    room[0].options.val = NULL;
    th_assert_error(th_schedule_check(&schedule, &f->table, RECORDS, &err), TH_EUSAGE, &err,
                    "it waits for val/loss, and there is no data.val");
}

static void a_run_has_the_steps_of_its_stages(void **state)
{
    static const struct {
        const char *stages[MOST];
        int64_t     want;
    } rows[] = {
        { { "train=all;for=5 steps" }, 5 },
        // 4 frozen groups after the first stage, and what a stage thawed stays thawed for the next
        { { "train=[text, heads];for=5 steps", "unfreeze.image.one_group_every=3 steps",
            "freeze=[image.embed, image.blocks];unfreeze.image.one_group_every=10 steps",
            "train=all;batch=20;for=1 epoch" },
          5 + 12 + 40 + 50 },
        // an end in the middle of a thaw: two of five groups have come
        { { "train=logit_scale;unfreeze.image.one_group_every=3 steps;for=6 steps",
            "unfreeze.tower=image;unfreeze.one_group_every=1 steps" },
          6 + 3 },
        { { "train=all;for=5 steps", "train=text;until.plateau=val/loss" }, 0 },
        { { "train=all;for=5 steps", "train=text;until.plateau=val/loss;until.max=7 steps" }, 12 },
    };
    stage_case *f = *state;
    th_stage    room[MOST];
    th_err      err = { 0 };
    int64_t     got;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_schedule schedule = schedule_of(f, rows[i].stages, room);
        th_assert_ok(th_schedule_steps(&schedule, &f->table, RECORDS, &got, &err), &err);
        assert_int_equal(got, rows[i].want);
    }
}

static void moments_are_for_what_trains_later(void **state)
{
    static const struct {
        const char *stages[MOST], *name;
        int         stage;
        bool        want;
    } rows[] = {
        { { "train=all;for=5 steps", "train=text;for=5 steps" }, "visual.proj", 1, false },
        { { "train=all;for=5 steps", "train=text;for=5 steps" }, "visual.proj", 0, false },
        { { "train=all;for=5 steps", "train=text;for=5 steps", "train=heads;for=5 steps" },
          "visual.proj",
          1,
          true },
        { { "train=all;for=5 steps", "train=text;for=5 steps", "unfreeze=image;for=5 steps" },
          "visual.conv1.weight",
          1,
          true },
        { { "train=text;for=5 steps", "train=all;freeze=image;for=5 steps" },
          "visual.proj",
          0,
          false },
        // A group whose turn is still to come in the stage under way.
        { { "train=all;for=5 steps", "train=text;unfreeze.image.one_group_every=9 steps" },
          "visual.conv1.weight",
          1,
          true },
        { { "train=all;for=5 steps", "train=text;unfreeze.image.one_group_every=9 steps" },
          "logit_scale",
          1,
          false },
        { { "train=all;for=5 steps", "train=image;for=5 steps",
            "unfreeze.tower=text;unfreeze.one_group_every=9 steps" },
          "token_embedding.weight",
          1,
          true },
        { { "train=all;for=5 steps", "train=image;for=5 steps",
            "freeze=text;unfreeze.text.one_group_every=9 steps" },
          "token_embedding.weight",
          1,
          true },
    };
    stage_case *f = *state;
    th_stage    room[MOST];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_schedule schedule = schedule_of(f, rows[i].stages, room);
        int         row = th_parameters_find(&f->table, rows[i].name);
        assert_true(row >= 0);
        if (th_schedule_trains_later(&schedule, rows[i].stage, &f->table, row) != rows[i].want)
            fail_msg("row %zu: %s", i, rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(good_schedules_pass),
        WITH_TABLE(wrong_ones_are_refused),
        WITH_TABLE(a_run_has_the_steps_of_its_stages),
        WITH_TABLE(moments_are_for_what_trains_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
