#include "../../test.h"

#include "trainer/optim/rate.h"

// Values of open_clip's cosine_lr(base 5e-4, warm-up 10, 110 steps), worked out from its formula.
static void warm_up_then_cosine(void **state)
{
    const th_rate rate = { .peak = 5e-4, .warmup = 10, .total = 110, .shape = TH_RATE_COSINE };

    (void)state;
    th_assert_close(th_rate_at(&rate, 0), 5e-5, 1e-18);
    th_assert_close(th_rate_at(&rate, 4), 2.5e-4, 1e-18);
    th_assert_close(th_rate_at(&rate, 9), 5e-4, 1e-18);
    th_assert_close(th_rate_at(&rate, 10), 5e-4, 1e-18);
    th_assert_close(th_rate_at(&rate, 60), 2.5e-4, 1e-18);
    th_assert_close(th_rate_at(&rate, 35), 4.267766952966369e-4, 1e-15); // (1 + cos 45 deg) / 2
    th_assert_close(th_rate_at(&rate, 109), 0.5 * (1 + cos(M_PI * 0.99)) * 5e-4, 1e-18);
    assert_true(th_rate_at(&rate, 110) == th_rate_at(&rate, 109));
    assert_true(th_rate_at(&rate, INT64_MAX) == th_rate_at(&rate, 109));
}

static void shapes_end_at_the_floor(void **state)
{
    th_rate rate = { .peak = 1, .floor = 0.2, .warmup = 0, .total = 1000, .shape = TH_RATE_LINEAR };

    (void)state;
    th_assert_close(th_rate_at(&rate, 0), 1, 1e-15);
    th_assert_close(th_rate_at(&rate, 500), 0.6, 1e-15);
    th_assert_close(th_rate_at(&rate, 999), 0.2008, 1e-15);
    rate.shape = TH_RATE_COSINE;
    th_assert_close(th_rate_at(&rate, 0), 1, 1e-15);
    th_assert_close(th_rate_at(&rate, 500), 0.6, 1e-15);
    th_assert_close(th_rate_at(&rate, 999), 0.2, 2e-6);
    rate.shape = TH_RATE_CONSTANT;
    th_assert_close(th_rate_at(&rate, 999), 1, 0);
    th_assert_close(th_rate_at(&rate, 5000), 1, 0);
}

// A run that ends within its warm-up, or as it ends, still has a rate for every step.
static void a_run_can_be_all_warm_up(void **state)
{
    th_rate rate = { .peak = 1, .warmup = 10, .total = 10, .shape = TH_RATE_COSINE };

    (void)state;
    th_assert_close(th_rate_at(&rate, 9), 1, 0);
    th_assert_close(th_rate_at(&rate, 10), 1, 0);
    rate.total = 5;
    th_assert_close(th_rate_at(&rate, 7), 0.5, 1e-15);
}

static const th_model_config small = {
    .image = { 32, 8, 64, 3, 4 },
    .text = { .context = 16, .vocabulary = 200, .width = 64, .layers = 2, .heads = 4 },
    .embed = 48
};

static double factor_of(const th_parameters *table, const double *factor, const char *name)
{
    int row = th_parameters_find(table, name);

    assert_true(row >= 0);
    return factor[row];
}

static void patterns_give_factors_and_the_last_wins(void **state)
{
    struct th_map_row patterns[] = { { "image", 1e-5, false },
                                     { "text.embed", 16, true },
                                     { "image.top(1)", 0.5, true },
                                     { "*.ln_1.*", 0, true } };
    th_map            map = { patterns, 4 };
    th_parameters     table = { 0 };
    th_err            err = { 0 };
    double            factor[256];

    (void)state;
    th_assert_ok(th_parameters_open(&small, &table, &err), &err);
    assert_true(table.row_count <= 256);
    th_assert_ok(th_rate_factors(&table, &map, 1e-3, factor, &err), &err);
    th_assert_close(factor_of(&table, factor, "token_embedding.weight"), 16, 0);
    th_assert_close(factor_of(&table, factor, "visual.conv1.weight"), 0.01, 1e-17);
    th_assert_close(factor_of(&table, factor, "visual.transformer.resblocks.1.attn.in_proj_weight"),
                    0.01, 1e-17);
    th_assert_close(factor_of(&table, factor, "visual.transformer.resblocks.2.attn.in_proj_weight"),
                    0.5, 0);
    th_assert_close(factor_of(&table, factor, "transformer.resblocks.0.ln_1.weight"), 0, 0);
    th_assert_close(factor_of(&table, factor, "transformer.resblocks.0.ln_2.weight"), 1, 0);
    th_assert_close(factor_of(&table, factor, "logit_scale"), 1, 0);
    map.count = 0;
    th_assert_ok(th_rate_factors(&table, &map, 1e-3, factor, &err), &err);
    th_assert_close(factor_of(&table, factor, "token_embedding.weight"), 1, 0);
    th_parameters_close(&table);
}

static void a_pattern_that_selects_nothing_is_refused(void **state)
{
    static const struct {
        struct th_map_row pattern;
        double            peak;
        const char       *words;
    } cases[] = {
        { { "text.embde", 16, true }, 1e-3, "did you mean \"text.embed\"?" },
        { { "imge", 16, true }, 1e-3, "did you mean \"image\"?" },
        { { "text.blocks[2]", 16, true }, 1e-3, "did you mean \"text.blocks[0]\"?" },
        { { "nothing like any of it", 16, true }, 1e-3, "of \"nothing like any of it\"" },
        { { "text", 1e-5, false }, 0, "the peak rate is 0" },
        { { "text", -1, true }, 1e-3, "-1 for \"text\"" },
        { { "text", NAN, false }, 1e-3, "nan for \"text\"" },
    };
    th_parameters table = { 0 };
    th_err        err = { 0 };
    double        factor[256];

    (void)state;
    th_assert_ok(th_parameters_open(&small, &table, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct th_map_row row = cases[i].pattern;
        th_map            map = { &row, 1 };
        th_assert_error(th_rate_factors(&table, &map, cases[i].peak, factor, &err), TH_EUSAGE, &err,
                        cases[i].words);
    }
    th_parameters_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_then_cosine),
        cmocka_unit_test(shapes_end_at_the_floor),
        cmocka_unit_test(a_run_can_be_all_warm_up),
        cmocka_unit_test(patterns_give_factors_and_the_last_wins),
        cmocka_unit_test(a_pattern_that_selects_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
