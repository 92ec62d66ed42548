/* tests/unit/trainer/stage_fixture.h - stages written as text, and what trains as a line of
 * letters.
 *
 * The table has three image and two text blocks. "TTTff fffT T" says group by group: image embed,
 * its blocks from the bottom, image head; the same of text; the logit scale. T: all rows train, f:
 * none, p: some. */
#ifndef TH_TESTS_STAGE_FIXTURE_H
#define TH_TESTS_STAGE_FIXTURE_H

#include "tests/test.h"

#include "trainer/schedule/stage.h"

#define RECORDS 1000 // of the pack that is not there

typedef struct {
    th_parameters table;
    th_arena      pool;
    bool         *before, *trains;
    int64_t      *thawed;
} stage_case;

static const th_model_config stage_model = {
    .image = { .size = 16, .patch = 8, .width = 32, .layers = 3, .heads = 2 },
    .text = { .context = 8, .vocabulary = 40, .width = 16, .layers = 2, .heads = 2 },
    .embed = 8,
};

static inline int set_up(void **state)
{
    stage_case *f = calloc(1, sizeof *f);
    th_err      err = { 0 };

    if (!f || th_parameters_open(&stage_model, &f->table, &err) != TH_OK ||
        th_arena_open(&f->pool, 8 << 20, &err) != TH_OK)
        return -1;
    f->before = calloc((size_t)f->table.row_count, sizeof *f->before);
    f->trains = calloc((size_t)f->table.row_count, sizeof *f->trains);
    f->thawed = calloc((size_t)f->table.row_count, sizeof *f->thawed);
    *state = f;
    return f->before && f->trains && f->thawed ? 0 : -1;
}

static inline int tear_down(void **state)
{
    stage_case *f = *state;

    th_parameters_close(&f->table);
    th_arena_close(&f->pool);
    free(f->before), free(f->trains), free(f->thawed);
    free(f);
    return 0;
}

/* "train=[text, heads]; for=10 steps" is a stage; all else is as by default, with a batch of 10, a
 * name of its own, and data.val set. */
static inline th_stage stage_of(stage_case *f, const char *text)
{
    th_stage      stage = { 0 };
    th_option_set sets[] = { { th_train_table, th_train_table_count, &stage.options },
                             { th_stage_table, th_stage_table_count, &stage.own } };
    char          copy[1024], *rest = copy, *part;
    th_err        err = { 0 };

    th_assert_ok(th_options_default(sets, 2, &f->pool, &err), &err);
    stage.options.length = (th_span){ 0 };
    stage.options.batch = 10;
    stage.options.val = "packs/val";
    stage.own.name = th_arena_text(&f->pool, text);
    assert_true(snprintf(copy, sizeof copy, "%s", text) < (int)sizeof copy);
    while ((part = strsep(&rest, ";"))) {
        part += strspn(part, " ");
        char *value = strchr(part, '=');
        assert_non_null(value);
        *value++ = '\0';
        th_assert_ok(th_option_set_value(sets, 2, part, value, &f->pool, &err), &err);
    }
    return stage;
}

/* The set `step` steps into a stage that began with f->before, as letters in out. */
static inline th_code letters(stage_case *f, const th_stage *stage, int64_t step, char out[16],
                              th_err *err)
{
    th_code rc =
        th_stage_rows(stage, &f->table, RECORDS, f->before, step, f->trains, f->thawed, err);

    for (int g = 0; g < f->table.group_count; g++) {
        const th_group *group = &f->table.groups[g];
        int             count = 0;
        for (int i = group->first_row; i < group->first_row + group->row_count; i++)
            count += f->trains[i];
        if (g > 0 && group->tower != f->table.groups[g - 1].tower)
            *out++ = ' ';
        *out++ = count == 0 ? 'f' : count == group->row_count ? 'T' : 'p';
    }
    *out = '\0';
    return rc;
}

static inline void assert_letters(stage_case *f, const char *text, int64_t step, const char *want)
{
    th_stage stage = stage_of(f, text);
    th_err   err = { 0 };
    char     got[16];

    th_assert_ok(letters(f, &stage, step, got, &err), &err);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\" at step %lld: %s, want %s", text, (long long)step, got, want);
}

/* What trained before: the patterns of a list. */
static inline void trained_before(stage_case *f, const char *list)
{
    for (int i = 0; i < f->table.row_count; i++)
        f->before[i] = th_stage_selects(list, &f->table, i);
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
