/* tests/unit/launch/test_run_file.c - a run file with stages: what each stage holds, how an error
 * reads, and that the resolved text reads back to the same. */
#include "tests/test.h"

#include "base/file.h"
#include "launch/run_file.h"

typedef struct {
    char        path[512];
    th_arena    pool;
    th_schedule schedule;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    void    *folder = NULL;
    th_err   err = { 0 };

    if (!f || th_test_folder_open(&folder) != 0)
        return -1;
    th_test_path(f->path, sizeof f->path, folder, "run.yaml");
    free(folder);
    *state = f;
    return th_arena_open(&f->pool, 16 << 20, &err) == TH_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    void    *folder = strdup(f->path);

    *strrchr(folder, '/') = '\0';
    th_arena_close(&f->pool);
    free(f);
    return th_test_folder_close(&folder);
}

static th_code load(fixture *f, const char *text, th_err *err)
{
    assert_int_equal(th_file_replace(f->path, text, strlen(text), err), TH_OK);
    return th_run_file_load(f->path, false, NULL, &f->pool, &f->schedule, err);
}

#define RUN                                                                                        \
    "data: {train: packs/x, val: packs/v}\nbatch: 64\nlr: {warmup: 9 steps, text.embed: 16x}\n"    \
    "optimizer: {lr: 1e-3, weight_decay: 0.1}\nfor: 3 epochs\n"

// The run file of the design, with what is special in each stage.
#define STAGES                                                                                     \
    RUN "stages:\n"                                                                                \
        "  - {name: align, train: [text, heads], for: 2 epochs, batch: 4096, lr: 1e-2}\n"          \
        "  - name: top\n"                                                                          \
        "    train: [text, heads, image.top(3), \"image.blocks[0:2]\"]\n"                          \
        "    until: {plateau: val/loss, patience: 4, min: 500 steps, max: 4000 steps}\n"           \
        "    lr: {image: 1e-5, text.embed: 2e-4, warmup: 7 steps}\n"                               \
        "    weight_decay: 0\n"                                                                    \
        "    augment: crop\n"                                                                      \
        "  - {name: melt, unfreeze: {tower: image, from: bottom, one_group_every: 500 steps},\n"   \
        "     layer_decay: {image: 0.75, text: 0.9}, moments: drop}\n"                             \
        "  - {unfreeze: {image: {one_group_every: 2 steps}, text: {from: bottom,\n"                \
        "     one_group_every: 3 steps}, warmup: 1 steps}, lr.over: run}\n"                        \
        "  - name: \"all: of it\"\n"                                                               \
        "    freeze: \"*.ln_1.*\"\n"                                                               \
        "    until: {metric: val/text_to_image_R@1, above: 0.3, min_delta: 0.001}\n"               \
        "    eval: {every: 10 steps}\n"

static void a_stage_lies_over_the_run(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    th_assert_ok(load(f, STAGES, &err), &err);
    assert_false(f->schedule.single);
    assert_int_equal(f->schedule.stage_count, 5);
    const th_stage *s = f->schedule.stages;
    assert_string_equal(s[0].own.name, "align");
    assert_string_equal(s[0].own.train, "[text, heads]");
    assert_int_equal(s[0].options.batch, 4096);
    assert_true(s[0].options.lr == 1e-2); // the short name
    assert_true(s[0].options.length.amount == 2 && s[0].options.length.unit == TH_EPOCHS);
    assert_true(s[0].options.weight_decay == 0.1);     // the run's
    assert_int_equal(s[1].options.batch, 64);          // the run's, not that of the stage before
    assert_true(s[1].options.length.unit == TH_NEVER); // never the run's
    assert_string_equal(s[1].own.train, "[text, heads, image.top(3), image.blocks[0:2]]");
    assert_string_equal(s[1].own.plateau, "val/loss");
    assert_int_equal(s[1].own.patience, 4);
    assert_true(s[1].own.min.amount == 500 && s[1].own.max.amount == 4000);
    assert_int_equal(s[1].options.lr_factors.count, 2);
    assert_false(s[1].options.lr_factors.rows[0].factor); // text.embed is 2e-4 here
    assert_true(s[1].options.weight_decay == 0);
    assert_true(s[1].options.warmup.amount == 7 && s[2].options.warmup.amount == 9);
    assert_string_equal(s[1].options.augment, "crop");
    assert_string_equal(s[2].own.unfreeze_tower, "image");
    assert_string_equal(s[2].own.unfreeze_from, "bottom");
    assert_int_equal(s[2].own.layer_decay.count, 2);
    assert_string_equal(s[2].own.moments, "drop");
    assert_string_equal(s[3].own.name, "stage-4");
    assert_true(s[3].own.text.every.amount == 3 && s[3].own.thaw_warmup.amount == 1);
    assert_string_equal(s[3].own.rate_over, "run");
    assert_true(s[4].own.above == 0.3 && s[4].own.below == -1e300);
    assert_true(f->schedule.options.batch == 64 && f->schedule.options.lr == 1e-3);
    assert_true(f->schedule.options.lr_factors.rows[0].factor); // the run's own is as it was
}

static void without_stages_all_trains(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    for (int i = 0; i < 2; i++) {
        th_assert_ok(load(f, i == 0 ? RUN : RUN "stages: []\n", &err), &err);
        assert_true(f->schedule.single && f->schedule.stage_count == 1);
        assert_string_equal(f->schedule.stages[0].own.train, "all");
        assert_true(f->schedule.stages[0].options.length.amount == 3);
    }
}

static void environment_and_command_line_are_under_the_stages(void **state)
{
    fixture        *f = *state;
    th_err          err = { 0 };
    th_command_line line = { .names = { "optimizer.lr" }, .values = { "7e-4" }, .option_count = 1 };

    assert_int_equal(th_file_replace(f->path, STAGES, strlen(STAGES), &err), TH_OK);
    assert_int_equal(setenv("THAW_BATCH", "48", 1), 0);
    th_assert_ok(th_run_file_load(f->path, true, &line, &f->pool, &f->schedule, &err), &err);
    assert_int_equal(unsetenv("THAW_BATCH"), 0);
    const th_stage *s = f->schedule.stages;
    assert_true(s[0].options.lr == 1e-2 && s[1].options.lr == 7e-4);
    assert_true(s[0].options.batch == 4096 && s[1].options.batch == 48);
}

// Every line of RUN and "stages:" is five lines.
static void errors_say_where(void **state)
{
    static const struct {
        const char *stages, *what;
    } rows[] = {
        { "stages: 5\n", "stages must be a list of at most 256 mappings" },
        { "stages: {train: all}\n", "stages must be a list of at most 256 mappings" },
        { "stages:\n  - train\n", ":7:5: a run file is a mapping of options" },
        { "stages:\n  - {trane: all}\n",
          ":7:6: unknown option \"trane\", did you mean \"train\"?" },
        { "stages:\n  - {train: all, for: 3 parsecs}\n", ":7:18: " },
        { "stages:\n  - {train: all, batch: 0}\n", ":7:18: " },
        { "stages:\n  - train: all\n    until: {platoe: val/loss}\n",
          ":8:13: unknown option \"until.platoe\"" },
        { "stages:\n  - {train: all}\n  - {train: all, train: text}\n",
          ":8:18: option train stands twice" },
        { "stages:\n  - {train: all, lr: 1e-3, optimizer.lr: 1e-4}\n",
          ":7:28: option optimizer.lr stands twice" },
        { "stages:\n  - {moments: perhaps}\n", ":7:6: " },
        { "stages:\n  - {unfreeze: {tower: both}}\n", ":7:17: " },
        { "stages:\n  - {train: all, seed: 3}\n", ":7:18: option seed cannot differ by stage" },
        { "stages:\n  - {data: {train: packs/y}}\n",
          ":7:13: option data.train cannot differ by stage" },
        { "stages:\n  - {model: {embed: 8}}\n", ":7:14: option model.embed cannot differ" },
        { "stages:\n  - {memory_budget: 1 GiB}\n", ":7:6: option memory_budget cannot differ" },
        { "stages:\n  - {checkpoint: {every: 3 min}}\n", ":7:19: option checkpoint.every cannot" },
        { "stages:\n  - {stages: [a]}\n", ":7:6: unknown option \"stages\"" },
        { "train: all\n", ":6:1: option train is one of a stage" },
        { "lr: {floor: 0.1, over: run}\n", ":6:18: option lr.over is one of a stage" },
    };
    fixture *f = *state;
    char     text[1024];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_err err = { 0 };
        (void)snprintf(text, sizeof text, "%s%s", RUN, rows[i].stages);
        th_code rc = load(f, text, &err);
        if (rc != TH_EUSAGE || !strstr(err.what, rows[i].what))
            fail_msg("%s\ngot %s \"%s\", want \"%s\"", rows[i].stages, th_code_name(rc), err.what,
                     rows[i].what);
    }
}

static void too_many_stages_are_refused(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    char    *text = NULL;
    size_t   size;
    FILE    *to = open_memstream(&text, &size);

    assert_non_null(to);
    (void)fputs(RUN "stages:\n", to);
    for (int i = 0; i < 256; i++)
        (void)fputs("  - {train: all, for: 1 steps}\n", to);
    assert_int_equal(fflush(to), 0);
    th_assert_ok(load(f, text, &err), &err);
    assert_int_equal(f->schedule.stage_count, 256);
    (void)fputs("  - {train: all, for: 1 steps}\n", to);
    assert_int_equal(fclose(to), 0);
    th_assert_error(load(f, text, &err), TH_EUSAGE, &err, "at most 256");
    free(text);
}

// Two schedules have the same values, option by option.
static void assert_same(const th_schedule *a, const th_schedule *b)
{
    th_err err = { 0 };

    assert_int_equal(a->stage_count, b->stage_count);
    assert_int_equal(a->single, b->single);
    for (int i = -1; i < a->stage_count; i++)
        for (int t = 0; t < (i < 0 ? 1 : 2); t++) {
            const th_option *rows = t == 0 ? th_train_table : th_stage_table;
            int              count = t == 0 ? th_train_table_count : th_stage_table_count;
            const void      *x = i < 0    ? (void *)&a->options
                                 : t == 0 ? (void *)&a->stages[i].options
                                          : (void *)&a->stages[i].own;
            const void      *y = i < 0    ? (void *)&b->options
                                 : t == 0 ? (void *)&b->stages[i].options
                                          : (void *)&b->stages[i].own;
            for (int k = 0; k < count; k++) {
                char *was, *is;
                th_assert_ok(th_run_file_value(&rows[k], x, &was, &err), &err);
                th_assert_ok(th_run_file_value(&rows[k], y, &is, &err), &err);
                if (strcmp(was, is) != 0)
                    fail_msg("stage %d, %s: %s and %s", i, rows[k].name, was, is);
                free(was), free(is);
            }
        }
}

// A run with a map that fits into no line buffer, and a stage that differs in its last key alone.
static char *long_map(double last)
{
    char  *text = NULL;
    size_t size;
    FILE  *to = open_memstream(&text, &size);

    assert_non_null(to);
    (void)fputs("data: {train: packs/x}\nlr:\n", to);
    for (int i = 0; i < 60; i++)
        (void)fprintf(to, "  \"*.resblocks.%d.attn.in_proj_weight\": 1e-4\n", i);
    (void)fprintf(to,
                  "stages:\n  - {name: a, train: all, for: 1 steps}\n"
                  "  - {name: b, train: all, for: 1 steps,\n"
                  "     lr: {\"*.resblocks.59.attn.in_proj_weight\": %g}}\n",
                  last);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void the_resolved_text_reads_back_to_the_same(void **state)
{
    char       *map = long_map(3e-4);
    const char *texts[] = { STAGES, RUN, map };
    fixture    *f = *state;
    th_err      err = { 0 };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int whole = 0; whole < 2; whole++) {
            char *resolved, *again;
            th_assert_ok(load(f, texts[i], &err), &err);
            th_schedule first = f->schedule;
            th_assert_ok(th_run_file_text(&first, whole, &resolved, &err), &err);
            th_assert_ok(load(f, resolved, &err), &err);
            assert_same(&first, &f->schedule);
            th_assert_ok(th_run_file_text(&f->schedule, whole, &again, &err), &err);
            assert_string_equal(resolved, again);
            free(resolved), free(again);
        }
    free(map);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_stage_lies_over_the_run),
        IN_FOLDER(without_stages_all_trains),
        IN_FOLDER(environment_and_command_line_are_under_the_stages),
        IN_FOLDER(errors_say_where),
        IN_FOLDER(too_many_stages_are_refused),
        IN_FOLDER(the_resolved_text_reads_back_to_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
