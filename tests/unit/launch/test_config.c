/* tests/unit/launch/test_config.c - the run file: what it sets, who wins, and how an error reads.
 */
#include "tests/test.h"

#include "base/file.h"
#include "base/log.h"
#include "launch/config.h"
#include "launch/verb.h"
#include "trainer/schedule/stage.h"

typedef struct {
    char             folder[256], path[512], log[512];
    th_train_options options;
    th_option_set    set;
    th_arena         pool;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    void    *folder = NULL;
    th_err   err = { 0 };

    if (!f || th_test_folder_open(&folder) != 0)
        return -1;
    (void)snprintf(f->folder, sizeof f->folder, "%s", (char *)folder);
    free(folder);
    th_test_path(f->path, sizeof f->path, f->folder, "run.yaml");
    th_test_path(f->log, sizeof f->log, f->folder, "log.txt");
    f->set = (th_option_set){ th_train_table, th_train_table_count, &f->options };
    *state = f;
    return th_arena_open(&f->pool, 8 << 20, &err) == TH_OK && th_log_file(f->log, &err) == TH_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    void    *folder = strdup(f->folder);

    (void)th_log_file(NULL, NULL);
    th_arena_close(&f->pool);
    free(f);
    return th_test_folder_close(&folder);
}

static th_code load(fixture *f, const char *text, bool environment, const th_command_line *line,
                    th_err *err)
{
    assert_int_equal(th_file_replace(f->path, text, strlen(text), err), TH_OK);
    return th_config_load(f->path, environment, line, &f->set, 1, &f->pool, err);
}

#define TRAIN "data: {train: packs/x}\n"

static void nested_and_dotted_names_are_the_same(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    th_assert_ok(load(f,
                      "# a run\n"
                      "model:\n"
                      "  preset: tiny\n"
                      "  image: {size: 32, patch: 4}\n"
                      "data.train: \"packs/a b\"\n"
                      "data: {val: packs/v}\n"
                      "batch: 512\n"
                      "for: 300 steps\n"
                      "optimizer:\n"
                      "  lr: 1e-3\n"
                      "  betas: [0.8, 0.95]\n"
                      "lr: {text.embed: 16x, warmup: 10 steps, \"*.ln_1.*\": 1e-5}\n"
                      "memory_budget: 2 GiB\n",
                      false, NULL, &err),
                 &err);
    assert_string_equal(f->options.preset, "tiny");
    assert_int_equal(f->options.image_size, 32);
    assert_int_equal(f->options.image_patch, 4);
    assert_string_equal(f->options.train, "packs/a b");
    assert_string_equal(f->options.val, "packs/v");
    assert_int_equal(f->options.batch, 512);
    assert_true(f->options.length.amount == 300 && f->options.length.unit == TH_STEPS);
    assert_true(f->options.lr == 1e-3);
    assert_true(f->options.betas.first == 0.8 && f->options.betas.second == 0.95);
    assert_int_equal(f->options.lr_factors.count, 2);
    assert_string_equal(f->options.lr_factors.rows[0].key, "text.embed");
    assert_true(f->options.lr_factors.rows[0].factor && f->options.lr_factors.rows[0].amount == 16);
    assert_string_equal(f->options.lr_factors.rows[1].key, "*.ln_1.*");
    assert_true(f->options.warmup.amount == 10);
    assert_true(f->options.memory_budget.count == (int64_t)2 << 30);
    assert_true(f->options.weight_decay == 0.2); // the default
}

static void aliases_stand_for_their_value(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    th_assert_ok(load(f, "data: {train: &p packs/x, val: *p}\n", false, NULL, &err), &err);
    assert_string_equal(f->options.val, "packs/x");
}

// What is wrong, and where it stands: the log shows the line, with a caret under the column.
static const struct {
    const char *text, *what;
} wrong[] = {
    { TRAIN "batch: 12\noptimizer:\n  lr: 1e-4\n  bettas: [0.9, 0.98]\n",
      ":5:3: unknown option \"optimizer.bettas\", did you mean \"optimizer.betas\"?" },
    { TRAIN "batsch: 12\n", ":2:1: unknown option \"batsch\", did you mean \"batch\"?" },
    { TRAIN "qqqqqqqqqq: 12\n", ":2:1: unknown option \"qqqqqqqqqq\"" },
    { TRAIN "batch: twelve\n", ":2:1: " },
    { TRAIN "batch: 1.5\n", ":2:1: " },
    { TRAIN "batch: -3\n", ":2:1: " },
    { TRAIN "batch:\n", ":2:1: " },
    { TRAIN "batch: [1, 2]\n", ":2:1: " },
    { TRAIN "batch: {a: 1}\n", ":2:9: unknown option \"batch.a\"" },
    { TRAIN "optimizer: 5\n", ":2:1: unknown option \"optimizer\"" },
    { TRAIN "for: 3 parsecs\n", ":2:1: " },
    { TRAIN "data.order: random\n", ":2:1: " },
    { TRAIN "optimizer: {betas: 0.9}\n", ":2:13: " },
    { TRAIN "optimizer: {betas: [0.9, [0.98]]}\n",
      ":2:26: a list may hold only plain values here" },
    { TRAIN "batch: 12\nbatch: 13\n", ":3:1: option batch stands twice" },
    { "data: {train: a}\ndata: {train: b}\n", ":2:8: option data.train stands twice" },
    { "data: {train: a}\ndata.train: b\n", ":2:1: option data.train stands twice" },
    { "- batch\n- 12\n", ":1:1: a run file is a mapping of options" },
    { "just words\n", ":1:1: a run file is a mapping of options" },
    { TRAIN "? [a, b]\n: 12\n", ":2:3: a key must be a short plain word" },
    { TRAIN "batch: 12\n  lr: 3\n",
      ":3:5: not YAML: mapping values are not allowed in this context" },
    { TRAIN "\tbatch: 12\n", ":2:1: not YAML: " },
    { TRAIN "batch: *nobody\n", ":2:8: not YAML: found undefined alias" },
    { TRAIN "a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}}\n",
      ":2:36: a run file is a mapping of options" },
    // Where the text itself is broken libyaml names no useful place.
    { TRAIN "batch: \"12\n", "not YAML: " },
    { TRAIN "seed: 1\xff\n", "not YAML: " },
};

// The log's last two lines are the n-th line of the text, and a caret under column `column`.
static void assert_caret(const fixture *f, const char *text, int n, int column)
{
    const char *source = text;
    char       *log = NULL;
    size_t      size;
    th_err      err = { 0 };

    th_assert_ok(th_file_read(f->log, 1 << 20, &log, &size, &err), &err);
    while (--n > 0)
        source = strchr(source, '\n') + 1;
    int   length = (int)strcspn(source, "\n");
    char *caret = strrchr(log, '^');
    assert_non_null(caret);
    char *line = caret;
    while (line > log && line[-1] != '\n')
        line--;
    const char *shown = line - 1 - length, *above = line - 1;
    while (above > log && above[-1] != '\n')
        above--;
    if (shown - above + column - 1 != caret - line)
        fail_msg("the caret is not under column %d:\n%s", column, log);
    for (int i = 0; i < length; i++) // what is not printable is shown as one '?'
        if (source[i] != shown[i] && shown[i] != '?')
            fail_msg("not the line \"%.*s\":\n%s", length, source, log);
    free(log);
}

static void errors_say_where(void **state)
{
    fixture *f = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        th_err  err = { 0 };
        char    want[256];
        int     line, column;
        th_code rc = load(f, wrong[i].text, false, NULL, &err);
        (void)snprintf(want, sizeof want, "%s%s", *wrong[i].what == ':' ? "run.yaml" : "",
                       wrong[i].what);
        if (rc != TH_EUSAGE || !strstr(err.what, want) || !*err.fix)
            fail_msg("%s\ngot %s \"%s\", want \"%s\"", wrong[i].text, th_code_name(rc), err.what,
                     want);
        if (sscanf(wrong[i].what, ":%d:%d:", &line, &column) == 2)
            assert_caret(f, wrong[i].text, line, column);
    }
}

static void what_is_missing_is_named(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    th_assert_error(load(f, "batch: 12\n", false, NULL, &err), TH_EUSAGE, &err,
                    "option data.train is missing");
    th_assert_error(load(f, "", false, NULL, &err), TH_EUSAGE, &err, "data.train is missing");
    th_assert_error(
        th_config_load("/nonexistent/run.yaml", false, NULL, &f->set, 1, &f->pool, &err), TH_EIO,
        &err, "/nonexistent/run.yaml");
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    size_t   size = (1 << 20) + 1;
    char    *text = malloc(size);

    assert_non_null(text);
    memset(text, '#', size);
    assert_int_equal(th_file_replace(f->path, text, size, &err), TH_OK);
    th_assert_error(th_config_load(f->path, false, NULL, &f->set, 1, &f->pool, &err), TH_EDATA,
                    &err, "run.yaml");
    free(text);
}

// Ten levels of ten aliases would be 10^10 values if they were written out.
static void an_alias_bomb_ends_at_once(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    char     text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";

    for (int i = 1; i < 10; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used,
                       "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                       i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_int_equal(load(f, text, false, NULL, &err), TH_EUSAGE);
    // Mappings inside mappings: a node that holds itself.
    assert_int_equal(load(f, "a: &a {b: *a, c: *a, d: *a, e: *a}\n", false, NULL, &err), TH_EUSAGE);
}

// The same without a value at its end, which would be an option that stands twice: mappings of
// nothing, 12 to the power of 7 of them.
static void an_alias_bomb_of_nothing_ends_at_once(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    char     text[2048] = "lr: {a: &a {}";
    size_t   used = strlen(text);

    for (char name = 'b'; name <= 'g'; name++) {
        used += (size_t)snprintf(text + used, sizeof text - used, ", %c: &%c {", name, name);
        for (int i = 0; i < 12; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%sk%d: *%c", i ? ", " : "",
                                     i, name - 1);
        used += (size_t)snprintf(text + used, sizeof text - used, "}");
    }
    (void)snprintf(text + used, sizeof text - used, "}\n");
    th_assert_error(load(f, text, false, NULL, &err), TH_EUSAGE, &err, "more than 10000 keys");
}

static void the_command_line_wins_over_the_environment_over_the_file(void **state)
{
    fixture        *f = *state;
    th_err          err = { 0 };
    char           *argv[] = { "thaw", "train", "run.yaml", "optimizer.lr=3e-4", "--seed", "9" };
    th_command_line line;
    const char     *text = TRAIN "optimizer: {lr: 1e-4, eps: 1e-7}\nbatch: 64\nseed: 5\n";

    th_assert_ok(th_command_line_parse(6, argv, 2, &f->set, 1, &line, &err), &err);
    assert_int_equal(setenv("THAW_OPTIMIZER_LR", "2e-4", 1), 0);
    assert_int_equal(setenv("THAW_BATCH", "32", 1), 0);
    th_assert_ok(load(f, text, true, &line, &err), &err);
    assert_true(f->options.lr == 3e-4);
    assert_int_equal(f->options.batch, 32);
    assert_int_equal(f->options.seed, 9);
    assert_true(f->options.eps == 1e-7);
    th_assert_ok(load(f, text, true, NULL, &err), &err);
    assert_true(f->options.lr == 2e-4);
    th_assert_ok(load(f, text, false, NULL, &err), &err);
    assert_true(f->options.lr == 1e-4);
    assert_int_equal(setenv("THAW_BATCH", "many", 1), 0);
    assert_int_equal(load(f, text, true, NULL, &err), TH_EUSAGE);
    assert_non_null(strstr(err.trail, "THAW_BATCH"));
    unsetenv("THAW_OPTIMIZER_LR");
    unsetenv("THAW_BATCH");
    th_command_line_done(&line);
}

// What is printed reads back to the same bits.
static void the_resolved_text_reads_back(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    char    *once = NULL, *twice = NULL, *identity = NULL;

    th_assert_ok(load(f,
                      TRAIN
                      "optimizer: {lr: 0.00012345678901234567}\nfor: 2.5 epochs\nrun_dir: \"a: "
                      "'b' #c\"\nlr: {text.embed: 16x, \"image.blocks[0:2]\": 3e-6}\n"
                      "checkpoint: {every: never}\nthreads: 3\n",
                      false, NULL, &err),
                 &err);
    th_assert_ok(th_config_text(&f->set, 1, true, &once, &err), &err);
    th_assert_ok(th_config_text(&f->set, 1, false, &identity, &err), &err);
    th_assert_ok(load(f, once, false, NULL, &err), &err);
    th_assert_ok(th_config_text(&f->set, 1, true, &twice, &err), &err);
    assert_string_equal(once, twice);
    assert_true(f->options.lr == 0.00012345678901234567);
    assert_string_equal(f->options.run_dir, "a: 'b' #c");
    assert_non_null(strstr(once, "threads: 3"));
    assert_null(strstr(identity, "threads")); // may differ from start to start
    assert_non_null(strstr(identity, "lr"));
    free(once), free(twice), free(identity);
}

// Every verb's tables, and no name of one table hides another's.
static void the_tables_of_all_verbs_hold(void **state)
{
    (void)state;
    for (int v = 0; v < th_verb_count; v++) {
        th_option_set sets[4];
        int           count = 0;
        th_err        err = { 0 };
        if (!th_verbs[v].options)
            continue;
        th_verbs[v].options(sets, &count);
        assert_in_range(count, 1, 4);
        for (int s = 0; s < count; s++) {
            th_assert_ok(th_options_check(sets[s].rows, sets[s].count, &err), &err);
            for (int i = 0; i < sets[s].count; i++) {
                int at = -1;
                assert_ptr_equal(th_option_find(sets, count, sets[s].rows[i].name, &at),
                                 &sets[s].rows[i]);
                assert_int_equal(at, s);
            }
        }
    }
}

// A list of `count` patterns of ten bytes, as YAML and as the option's text.
static char *list_of(int count, bool quoted)
{
    size_t room = (size_t)count * 16 + 64, used = 0;
    char  *text = calloc(1, room);

    assert_non_null(text);
    used = (size_t)snprintf(text, room, "%s", quoted ? "train: [" : "[");
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used,
                                 quoted ? "%s'*.ln_%04d*'" : "%s*.ln_%04d*", i ? ", " : "", i);
    (void)snprintf(text + used, room - used, "]");
    return text;
}

static void lists_of_patterns_may_be_long(void **state)
{
    fixture         *f = *state;
    th_stage_options stage = { 0 };
    th_option_set    set = { th_stage_table, th_stage_table_count, &stage };
    th_err           err = { 0 };
    char            *yaml = list_of(340, true), *want = list_of(340, false);

    assert_in_range(strlen(want), 4050, 4095);
    th_assert_ok(th_file_replace(f->path, yaml, strlen(yaml), &err), &err);
    th_assert_ok(th_config_load(f->path, false, NULL, &set, 1, &f->pool, &err), &err);
    assert_string_equal(stage.train, want);
    free(yaml), free(want);

    yaml = list_of(345, true); // 4140 bytes
    th_assert_ok(th_file_replace(f->path, yaml, strlen(yaml), &err), &err);
    th_assert_error(th_config_load(f->path, false, NULL, &set, 1, &f->pool, &err), TH_EUSAGE, &err,
                    "this list has more than 4095 bytes");
    free(yaml);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(nested_and_dotted_names_are_the_same),
        WITH(aliases_stand_for_their_value),
        WITH(errors_say_where),
        WITH(what_is_missing_is_named),
        WITH(a_file_that_is_too_large_is_refused),
        WITH(an_alias_bomb_ends_at_once),
        WITH(an_alias_bomb_of_nothing_ends_at_once),
        WITH(the_command_line_wins_over_the_environment_over_the_file),
        WITH(the_resolved_text_reads_back),
        WITH(lists_of_patterns_may_be_long),
        cmocka_unit_test(the_tables_of_all_verbs_hold),
    };

    th_log_setup(TH_ALARM, -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
