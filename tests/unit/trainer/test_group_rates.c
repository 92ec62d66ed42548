/* tests/unit/trainer/test_group_rates.c - rates that are not the stage's, neighbours under one
 * name; and which numbers a trigger knows. */
#include "stage_fixture.h"

#include "trainer/group_rates.h"
#include "trainer/group_run.h"
#include "trainer/scalars.h"

#define RATE 1e-3

static const struct {
    const char *name, *train;
    struct {
        const char *pattern;
        double      factor;
    } factors[3];
    const char *want;
} cases[] = {
    { "nothing_is_said_where_all_have_the_stages_rate", "all", { { 0 } }, "" },
    { "a_whole_tower_has_its_name", "all", { { "image", 0.1 } }, "{\"image\": 0.0001}" },
    { "neighbouring_blocks_are_a_slice",
      "all",
      { { "image.blocks[0:2]", 0.5 } },
      "{\"image.blocks[0:2]\": 0.0005}" },
    { "a_block_and_the_head_have_no_common_name",
      "all",
      { { "image.top(1)", 2 } },
      "{\"image.blocks[2]\": 0.002, \"image.head\": 0.002}" },
    { "towers_are_told_apart",
      "all",
      { { "heads", 3 } },
      "{\"image.head\": 0.003, \"text.head\": 0.003, \"logit_scale\": 0.003}" },
    { "every_group_may_have_its_own",
      "all",
      { { "text.head", 0.5 }, { "text.blocks[1]", 0.25 }, { "text.embed", 0 } },
      "{\"text.embed\": 0, \"text.blocks[1]\": 0.00025, \"text.head\": 0.0005}" },
    { "frozen_groups_have_no_rate",
      "[text, image.top(2)]",
      { { "image", 0.5 } },
      "{\"image.blocks[1:3]\": 0.0005, \"image.head\": 0.0005}" },
    { "rows_of_a_group_may_differ",
      "all",
      { { "text", 2 }, { "transformer.resblocks.1.*", 1 }, { "*.resblocks.1.ln_1.weight", 4 } },
      "{\"image.blocks[1]\": [0.001, 0.004], \"text.embed\": 0.002, \"text.blocks[0]\": 0.002, "
      "\"text.blocks[1]\": [0.001, 0.004], \"text.head\": 0.002}" },
    { "of_a_group_only_rows_that_train_count",
      "*.ln_1.*",
      { { "*.mlp.*", 9 }, { "visual.*.ln_1.weight", 0.5 }, { "visual.*.ln_1.bias", 0.5 } },
      "{\"image.blocks[0:3]\": 0.0005}" },
};

static void rates_are(void **state)
{
    size_t      k = (size_t)*state;
    stage_case *f = NULL;
    void       *made = NULL;
    char        got[2048];

    assert_int_equal(set_up(&made), 0);
    f = made;
    double *rate = calloc((size_t)f->table.row_count, sizeof *rate);
    assert_non_null(rate);
    for (int i = 0; i < f->table.row_count; i++) {
        f->table.rows[i].trainable = th_stage_selects(cases[k].train, &f->table, i);
        rate[i] = RATE;
        for (int p = 0; p < 3; p++)
            if (cases[k].factors[p].pattern &&
                th_parameters_match(&f->table, i, cases[k].factors[p].pattern))
                rate[i] = RATE * cases[k].factors[p].factor;
    }
    assert_true(th_group_rates_room(&f->table) <= sizeof got);
    th_group_rates_print(&f->table, rate, RATE, got, sizeof got);
    assert_string_equal(got, cases[k].want);
    free(rate);
    assert_int_equal(tear_down(&made), 0);
}

// Every name that a run gives to a run of groups is a pattern that selects these and no others.
static bool by_bits(const void *context, int group, int other)
{
    unsigned bits = *(const unsigned *)context;

    return (bits >> group & 1) == (bits >> other & 1);
}

static void a_runs_name_selects_its_groups(void **state)
{
    stage_case *f = *state;
    char        name[TH_GROUP_RUN_NAME];

    assert_int_equal(f->table.group_count, 10);
    for (unsigned bits = 0; bits < 1u << 10; bits++)
        for (int g = 0, end; g < f->table.group_count; g = end) {
            end = th_group_run(&f->table, g, by_bits, &bits, name);
            assert_true(end > g);
            for (int i = 0; i < f->table.row_count; i++)
                assert_int_equal(th_parameters_match(&f->table, i, name),
                                 f->table.rows[i].group >= g && f->table.rows[i].group < end);
        }
}

static void scalars_are_found_by_their_names(void **state)
{
    th_step_report report = { .trains = { true, false }, .tower_grad_norm = { 3, 4 } };
    th_eval_report eval = { .retrieval = { .image_to_text = { 1, 2, 3 } } };
    double         value = 0;

    (void)state;
    const th_scalar *row = th_scalar_find("train/grad_norm/image");
    assert_true(row && row->less && th_step_scalar(row, &report, &value));
    assert_true(value == 3);
    row = th_scalar_find("train/grad_norm/text"); // of a tower that does not train
    assert_true(row && !th_step_scalar(row, &report, &value));
    row = th_scalar_find("val/image_to_text_R@10");
    assert_true(row && !row->less && th_eval_scalar(row, &eval) == 3);
    assert_null(th_scalar_find("train/lr/groups")); // no number
    assert_null(th_scalar_find("loss"));
}

#define CASES (sizeof cases / sizeof *cases)

int main(void)
{
    struct CMUnitTest tests[CASES + 2] = {
        WITH_TABLE(a_runs_name_selects_its_groups),
        cmocka_unit_test(scalars_are_found_by_their_names),
    };

    for (size_t i = 0; i < CASES; i++)
        tests[2 + i] = (struct CMUnitTest){ .name = cases[i].name,
                                            .test_func = rates_are,
                                            .initial_state = (void *)i };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
