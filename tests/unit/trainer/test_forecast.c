/* tests/unit/trainer/test_forecast.c - the arithmetic of a plan, against numbers worked out by
 * hand.
 *
 * The model (widths 32 and 16, three and two blocks, 516 tokens) has, group by group:
 *
 *     image  embed 6144 + 32 + 5 x 32 + 64 = 6400, a block 64 + 3168 + 1056 + 64 + 4224 + 4128 =
 *            12704, the last one 64 more, head 32 x 8 = 256: 44832 in all
 *     text   embed 516 x 16 + 8 x 16 = 8384, a block 32 + 816 + 272 + 32 + 1088 + 1040 = 3280, the
 *            last one 32 more, head 16 x 8 = 128: 15104 in all */
#include "stage_fixture.h"

#include "checkpoint/writer.h"
#include "tests/unit/dataloader/pack_fixture.h"
#include "trainer/coverage.h"
#include "trainer/forecast.h"
#include "trainer/run.h"
#include "trainer/schedule/stage_state.h"
#include "trainer/session.h"
#include "trainer/state.h"

#include <omp.h>

#define PACK_RECORDS 40
#define MOST_STAGES  4
#define IMAGE        44832
#define TEXT         15104
#define BLOCK        12704
#define MODEL                                                                                      \
    ";batch=12;threads=1;memory_budget=64 MiB;model.preset=tiny;model.image.size=16;"              \
    "model.image.patch=8;model.image.width=32;model.image.layers=3;model.image.heads=2;"           \
    "model.text.context=8;model.text.width=16;model.text.layers=2;model.text.heads=2;"             \
    "model.embed=8"

typedef struct {
    char              folder[256], train[320], checkpoints[320];
    stage_case        texts; // its pool holds the stages' texts
    th_stage          stages[MOST_STAGES];
    th_schedule       schedule;
    th_forecast_input input;
    th_forecast       got;
} job;

static int open_job(void **state)
{
    job   *j = calloc(1, sizeof *j);
    void  *folder = NULL;
    th_err err = { 0 };

    if (!j || th_test_folder_open(&folder) != 0)
        return -1;
    (void)snprintf(j->folder, sizeof j->folder, "%s", (char *)folder);
    free(folder);
    th_test_path(j->train, sizeof j->train, j->folder, "pack");
    th_test_path(j->checkpoints, sizeof j->checkpoints, j->folder, "ckpt");
    if (mkdir(j->train, 0700) != 0 || th_arena_open(&j->texts.pool, 8 << 20, &err) != TH_OK)
        return -1;
    pack_write(j->train,
               &(pack_plan){ .records = PACK_RECORDS, .shards = 1, .size = 16, .captions = 2 });
    j->input = (th_forecast_input){ .schedule = &j->schedule, .ranks = 1, .config = "" };
    omp_set_num_threads(1); // as the stages say
    *state = j;
    return th_pack_open(j->train, &j->input.train, &err) == TH_OK ? 0 : -1;
}

static int close_job(void **state)
{
    job  *j = *state;
    void *folder = strdup(j->folder);

    th_forecast_close(&j->got);
    th_reader_close(j->input.reader);
    th_pack_close(j->input.train);
    th_arena_close(&j->texts.pool);
    free(j);
    return th_test_folder_close(&folder);
}

static void write_stages(job *j, int count, const char *const stages[])
{
    char text[1024];

    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "name=stage %d%s;%s", i + 1, MODEL, stages[i]);
        j->stages[i] = stage_of(&j->texts, text);
        j->stages[i].options.train = j->train;
        j->stages[i].options.val = j->input.val ? j->train : NULL;
        if (strstr(stages[i], "plateau"))
            j->stages[i].options.val = j->train;
    }
    j->schedule =
        (th_schedule){ .options = j->stages[0].options, .stages = j->stages, .stage_count = count };
}

static const th_forecast *plan(job *j, int count, const char *const stages[])
{
    th_err err = { 0 };

    write_stages(j, count, stages);
    th_forecast_close(&j->got);
    th_assert_ok(th_forecast_open(&j->input, &j->got, &err), &err);
    return &j->got;
}

#define PLAN(j, ...)                                                                               \
    plan(j, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                              \
         (const char *[]){ __VA_ARGS__ })

static void assert_trains(const th_phase *phase, int64_t image, int64_t text, int64_t other)
{
    assert_int_equal(phase->trains[TH_IMAGE], image);
    assert_int_equal(phase->trains[TH_TEXT_TOWER], text);
    assert_int_equal(phase->trains[TH_NO_TOWER], other);
}

static void a_stage_trains_the_parameters_that_it_says(void **state)
{
    job               *j = *state;
    const th_forecast *f = PLAN(j, "train=all;for=10 steps", "train=[text, heads];for=2 epochs",
                                "freeze=text;for=24 samples");

    assert_int_equal(f->stage_count, 3);
    assert_trains(&f->stages[0].phases[0], IMAGE, TEXT, 1);
    assert_trains(&f->stages[1].phases[0], 256, TEXT, 1);
    assert_trains(&f->stages[2].phases[0], 256, 0, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->stages[i].phase_count, 1);
    assert_int_equal(f->stages[1].begins, 10);
    assert_int_equal(f->stages[1].most, 2 * PACK_RECORDS / 12); // 6
    assert_int_equal(f->stages[2].begins, 16);
    assert_int_equal(f->stages[2].position, 16 * 12);
    assert_int_equal(f->stages[2].most, 2);
}

static void memory_is_that_of_what_trains_and_of_moments_kept(void **state)
{
    job               *j = *state;
    const th_forecast *f = PLAN(j, "train=text;for=2 steps", "train=image;for=2 steps",
                                "train=[text, image];for=2 steps", "train=heads;for=2 steps");
    const size_t       weights = 4 * (IMAGE + TEXT + 1);
    const struct {
        size_t gradients, moments;
    } want[] = {
        { 4 * TEXT, 8 * TEXT },
        { 4 * IMAGE, 8 * (IMAGE + TEXT) }, // text's wait for the third stage
        { 4 * (IMAGE + TEXT), 8 * (IMAGE + TEXT) },
        { 4 * (256 + 128 + 1), 8 * (256 + 128 + 1) }, // nothing comes behind it: all others go
    };

    for (int i = 0; i < 4; i++) {
        const size_t *memory = f->stages[i].phases[0].memory;
        assert_int_equal(memory[TH_MEMORY_WEIGHTS], weights);
        assert_int_equal(memory[TH_MEMORY_GRADIENTS], want[i].gradients);
        assert_int_equal(memory[TH_MEMORY_MOMENTS], want[i].moments);
        assert_int_equal(memory[TH_MEMORY_COMMUNICATION], 0);
    }
    // The last stage's checkpoint is the smallest, and the memory for one stays as large as it was.
    assert_int_equal(f->stages[3].phases[0].memory[TH_MEMORY_SNAPSHOT],
                     f->stages[2].phases[0].memory[TH_MEMORY_SNAPSHOT]);
    assert_true(f->stages[3].phases[0].checkpoint_bytes < f->stages[2].phases[0].checkpoint_bytes);
}

static void each_rank_sends_what_rings_send(void **state)
{
    job               *j = *state;
    const th_forecast *f;

    j->input.ranks = 4;
    f = PLAN(j, "train=text;for=2 steps", "train=logit_scale;for=2 steps;captions=2");
    const th_traffic *sent = &f->stages[0].phases[0].traffic;
    assert_int_equal(sent->features, 768 / 4 * 3);                // 12 x 2 x 8 floats
    assert_int_equal(sent->loss, 96 / 4 * 3 + 2 * (192 / 4 * 3)); // 12 x 2 floats, 12 x 2 doubles
    assert_int_equal(sent->gradients, 2 * (4 * TEXT / 4 * 3));
    assert_int_equal(f->stages[0].phases[0].memory[TH_MEMORY_COMMUNICATION], 4 * TEXT);
    sent = &f->stages[1].phases[0].traffic;
    assert_int_equal(sent->features, 1152 / 4 * 3); // 12 x 3 x 8 floats
    assert_int_equal(sent->gradients, 0);           // the scale's is complete on every rank
    // Keys of 12 captions; then the sigmoid loss: texts of three samples go on three times, and
    // their gradients four times.
    f = PLAN(j, "train=text;for=2 steps;loss.mask_duplicates=true");
    assert_int_equal(f->stages[0].phases[0].traffic.features, (768 + 96) / 4 * 3);
    f = PLAN(j, "train=text;for=2 steps;loss.kind=sigmoid",
             "train=image;for=2 steps;loss.kind=sigmoid");
    assert_int_equal(f->stages[0].phases[0].traffic.features, 0);
    assert_int_equal(f->stages[0].phases[0].traffic.loss, 7 * 3 * 8 * 4);
    assert_int_equal(f->stages[1].phases[0].traffic.loss, 3 * 3 * 8 * 4);
    j->input.ranks = 1;
    f = PLAN(j, "train=all;for=2 steps");
    assert_int_equal(th_traffic_bytes(&f->stages[0].phases[0].traffic), 0);
}

static void gradual_unfreezing_is_a_phase_a_turn(void **state)
{
    static const int64_t image[] = { 256, 256 + BLOCK + 64, 256 + 2 * BLOCK + 64,
                                     256 + 3 * BLOCK + 64, IMAGE };
    job                 *j = *state;
    const th_forecast   *f =
        PLAN(j, "train=text;for=10 steps", "unfreeze.tower=image;unfreeze.one_group_every=5 steps");

    assert_int_equal(f->stages[1].phase_count, 5);
    assert_int_equal(f->stages[1].most, 25);
    for (int k = 0; k < 5; k++) {
        assert_int_equal(f->stages[1].phases[k].step, 5 * k);
        assert_trains(&f->stages[1].phases[k], image[k], TEXT, 0);
    }
}

static void a_trigger_has_an_earliest_and_a_latest_step(void **state)
{
    static const struct {
        const char *stage;
        int64_t     least, most;
    } rows[] = {
        { "until.plateau=val/loss;until.patience=3;until.max=100 steps;eval.every=10 steps", 40,
          100 },
        { "until.plateau=val/loss;until.min=60 steps;until.max=100 steps;eval.every=10 steps", 60,
          100 },
        { "until.plateau=train/loss;until.patience=7;for=100 steps", 8, 100 },
        { "until.metric=train/loss;until.below=1;until.min=5 steps", 5, 0 },
        { "for=100 steps", 100, 100 },
    };
    job *j = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "train=all;%s", rows[i].stage);
        j->input.val = j->input.train;
        const th_forecast *f = PLAN(j, text);
        j->input.val = NULL;
        assert_int_equal(f->stages[0].least, rows[i].least);
        assert_int_equal(f->stages[0].most, rows[i].most);
    }
}

static void caches_hold_a_row_of_each_record_that_comes(void **state)
{
    // Features of 8 floats; pooled rows of 32; 5 tokens of 32 that enter a block.
    static const int64_t bytes[] = { 8 * 4 + 24, 32 * 4 + 24, 5 * 32 * 4 + 24 };
    job                 *j = *state;
    const th_forecast   *f =
        PLAN(j, "train=text;for=10 steps", "unfreeze=image.head;for=2 steps",
             "unfreeze=image.top(1);for=5 steps", "train=text;for=1 steps;data.augment=crop");

    assert_int_equal(f->cache_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(f->stages[i].phases[0].cache[TH_IMAGE].cache, i);
        assert_int_equal(f->stages[i].phases[0].cache[TH_TEXT_TOWER].cache, -1);
        assert_int_equal(f->caches[i].row_bytes, bytes[i]);
    }
    assert_int_equal(f->stages[3].phases[0].cache[TH_IMAGE].cache, -1); // crops differ
    assert_int_equal(th_forecast_cache_rows(f, &f->caches[0]), PACK_RECORDS);
    assert_int_equal(th_forecast_cache_rows(f, &f->caches[1]), 24); // 2 steps of 12, epoch's start
    // From the 24th record of an epoch: 16, and of the 40 that follow those 24 that came before.
    assert_int_equal(th_forecast_cache_rows(f, &f->caches[2]), 40);
    // A stage that finds the same weights below the same cut goes on with the cache.
    f = PLAN(j, "train=text;for=2 steps", "train=text.top(1);for=3 steps;captions=2",
             "train=all;for=1 steps", "train=text;for=2 steps");
    assert_int_equal(f->stages[1].phases[0].cache[TH_IMAGE].cache, 0);
    assert_int_equal(f->stages[1].phases[0].cache[TH_IMAGE].seen, 24);
    assert_int_equal(f->stages[3].phases[0].cache[TH_IMAGE].cache, 1);
    // A budget for half of the rows.
    f = PLAN(j, "train=text;for=10 steps;cache.budget=1120 B");
    th_assert_close(f->caches[0].kept, 0.5, 1e-12);
    assert_int_equal(th_forecast_cache_bytes(f, &f->caches[0]), 1120);
}

static void time_is_of_rows_missed_then_of_rows_cached(void **state)
{
    job         *j = *state;
    th_forecast *f = (th_forecast *)PLAN(j, "train=text;for=10 steps;eval.every=4 steps");
    th_phase    *phase = &f->stages[0].phases[0];

    phase->cold_s = 3;
    phase->warm_s = 1;
    // 40 of 120 samples are met first: a third of the ten steps' worth is cold.
    th_assert_close(th_forecast_seconds(f, &j->schedule, &f->stages[0], 10), 10 + 2 * 10 / 3.0,
                    1e-9);
    th_assert_close(th_forecast_seconds(f, &j->schedule, &f->stages[0], 2), 6, 1e-9);
    j->input.val = j->input.train;
    f = (th_forecast *)PLAN(j,
                            "train=all;for=10 steps;eval.every=4 steps;checkpoint.every=3 steps");
    j->input.val = NULL;
    f->stages[0].phases[0].cold_s = f->stages[0].phases[0].warm_s = 1;
    f->evaluation_s = 100; // at steps 4 and 8, and at the end
    f->snapshot_s = 1000;  // at 3, 6 and 9
    th_assert_close(th_forecast_seconds(f, &j->schedule, &f->stages[0], 10), 3310, 1e-9);
}

static void what_does_not_fit_is_a_problem_of_its_stage(void **state)
{
    job               *j = *state;
    const th_forecast *f =
        PLAN(j, "train=heads;for=1 steps;memory_budget=1 MiB",
             "train=all;for=1 steps;memory_budget=1 MiB", "train=all;for=1 steps");

    assert_int_equal(f->stages[1].problem.code, TH_EUSAGE);
    assert_non_null(strstr(f->stages[1].problem.what, "\"stage 2\" needs "));
    assert_int_equal(f->stages[2].problem.code, TH_OK);
}

// A checkpoint in the second stage, with 7 of its steps done, written by a writer.
static void commit(job *j, const bool *before, int rows)
{
    th_parameters       table = { 0 };
    th_saved_parameter *saved = NULL;
    th_writer          *writer = NULL;
    th_trigger          trigger = { 0 };
    th_err              err = { 0 };
    th_snapshot         snapshot = {
                .config = "", .state = { .step = 17, .stage = 1, .stage_step = 7, .samples_seen = 17 * 12 }
    };

    th_assert_ok(th_stage_state_print(before, rows, &trigger, snapshot.state.trigger,
                                      sizeof snapshot.state.trigger, &err),
                 &err);
    th_assert_ok(th_parameters_open(&j->got.parameters.model, &table, &err), &err);
    for (int i = 0; i < table.row_count; i++) {
        table.rows[i].trainable = false;
        table.step[i] = table.rows[i].tower == TH_TEXT_TOWER ? 17 : 0;
    }
    th_assert_ok(th_state_describe(&table, &saved, &err), &err);
    snapshot.parameters = saved;
    snapshot.parameter_count = rows;
    th_writer_options options = { .folder = j->checkpoints, .keep = 2 };
    th_assert_ok(th_writer_open(&options, &snapshot, &writer, &err), &err);
    th_assert_ok(th_writer_save(writer, &snapshot, &err), &err);
    th_assert_ok(th_writer_wait(writer, &err), &err);
    th_writer_close(writer);
    free(saved);
    th_parameters_close(&table);
}

static void of_a_run_that_has_begun_the_rest_is_planned(void **state)
{
    static const char *const stages[] = { "train=text;for=10 steps",
                                          "unfreeze.tower=image;unfreeze.one_group_every=5 steps",
                                          "train=image;for=3 steps" };
    job                     *j = *state;
    th_err                   err = { 0 };
    const th_forecast       *f = plan(j, 3, stages);

    commit(j, f->stages[1].before, f->parameters.row_count);
    th_assert_ok(th_reader_open_newest(j->checkpoints, &j->input.reader, NULL, &err), &err);
    f = plan(j, 3, stages);
    assert_int_equal(f->step, 17);
    assert_int_equal(f->stage_count, 2);
    assert_int_equal(f->stages[0].index, 1);
    assert_int_equal(f->stages[0].done, 7);
    assert_int_equal(f->stages[0].phase_count, 4); // the turn of step 5 is under way
    assert_int_equal(f->stages[0].phases[0].step, 7);
    assert_trains(&f->stages[0].phases[0], 256 + BLOCK + 64, TEXT, 0);
    assert_int_equal(f->stages[0].phases[0].cache[TH_IMAGE].seen, 24); // of two steps
    assert_int_equal(f->stages[0].phases[1].step, 10);
    assert_int_equal(f->stages[1].begins, 17 + 25 - 7);
    // The text tower's moments, which the last stage drops, and those of the blocks that trained.
    assert_int_equal(f->stages[0].phases[0].memory[TH_MEMORY_MOMENTS],
                     8 * (TEXT + 256 + BLOCK + 64));
    assert_int_equal(f->stages[1].phases[0].memory[TH_MEMORY_MOMENTS], 8 * IMAGE);
}

// What a step of a real session takes of its arena is what was planned, to the captions drawn.
static void activations_are_those_of_a_session(void **state)
{
    static const char *const rows[] = { "train=all",
                                        "train=text",
                                        "train=image",
                                        "train=[heads, image.top(1)]",
                                        "train=all;micro_batch=5",
                                        "train=all;micro_batch=3;memory_budget=6 MiB",
                                        "train=all;captions=2;cache.budget=0 B",
                                        "train=heads;cache.budget=0 B" };
    job                     *j = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char            text[256];
        th_world        world = { .size = 1 };
        th_session     *session = NULL;
        const th_batch *batch;
        th_step_result  result;
        th_err          err = { 0 };

        (void)snprintf(text, sizeof text, "%s;for=5 steps", rows[i]);
        const th_forecast  *f = PLAN(j, text);
        struct th_run_input input = { .schedule = &j->schedule, .folder = j->folder, .config = "" };
        th_assert_ok(th_session_open(&world, &input, &session, &err), &err);
        for (int k = 0; k < 3; k++) {
            th_assert_ok(th_loader_next(session->loader, &batch, NULL, &err), &err);
            th_assert_ok(th_step_gradient(session->step, batch, &result, &err), &err);
        }
        double got = (double)session->activations.peak_bytes;
        double want = (double)f->stages[0].phases[0].memory[TH_MEMORY_ACTIVATIONS];
        th_session_close(session);
        if (!(got <= want && got > 0.9 * want))
            fail_msg("\"%s\": %.0f bytes of activations, %.0f were planned", rows[i], got, want);
    }
}

#define IN_JOB(test) cmocka_unit_test_setup_teardown(test, open_job, close_job)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_JOB(a_stage_trains_the_parameters_that_it_says),
        IN_JOB(memory_is_that_of_what_trains_and_of_moments_kept),
        IN_JOB(each_rank_sends_what_rings_send),
        IN_JOB(gradual_unfreezing_is_a_phase_a_turn),
        IN_JOB(a_trigger_has_an_earliest_and_a_latest_step),
        IN_JOB(caches_hold_a_row_of_each_record_that_comes),
        IN_JOB(time_is_of_rows_missed_then_of_rows_cached),
        IN_JOB(what_does_not_fit_is_a_problem_of_its_stage),
        IN_JOB(of_a_run_that_has_begun_the_rest_is_planned),
        IN_JOB(activations_are_those_of_a_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
