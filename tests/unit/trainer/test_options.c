/* tests/unit/trainer/test_options.c - the table of a run's options, presets, spans in steps. */
#include "tests/test.h"

#include "trainer/options.h"

static void the_table_holds(void **state)
{
    th_err err = { 0 };

    (void)state;
    th_assert_ok(th_options_check(th_train_table, th_train_table_count, &err), &err);
}

static void defaults(th_train_options *options, th_arena *pool)
{
    th_option_set set = { th_train_table, th_train_table_count, options };
    th_err        err = { 0 };

    th_assert_ok(th_arena_open(pool, 1 << 20, &err), &err);
    th_assert_ok(th_options_default(&set, 1, pool, &err), &err);
}

static void presets_give_sizes_where_none_is_set(void **state)
{
    static const struct {
        const char *name;
        int64_t     patch, image_width, text_width, embed;
    } rows[] = { { "ViT-B-32", 32, 768, 512, 512 },
                 { "ViT-B-16", 16, 768, 512, 512 },
                 { "ViT-L-14", 14, 1024, 768, 768 },
                 { "tiny", 8, 192, 192, 128 } };
    th_train_options options;
    th_arena         pool;
    th_model_config  model;
    th_err           err = { 0 };

    (void)state;
    defaults(&options, &pool);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        options.preset = rows[i].name;
        th_assert_ok(th_train_model(&options, 500, &model, &err), &err);
        assert_int_equal(model.image.patch, rows[i].patch);
        assert_int_equal(model.image.width, rows[i].image_width);
        assert_int_equal(model.text.width, rows[i].text_width);
        assert_int_equal(model.text.vocabulary, 500);
        assert_int_equal(model.embed, rows[i].embed);
        assert_int_equal(model.activation, TH_GELU);
    }
    options.image_width = 96;
    options.text_layers = 2;
    options.activation = "quick_gelu";
    th_assert_ok(th_train_model(&options, 500, &model, &err), &err);
    assert_int_equal(model.image.width, 96);
    assert_int_equal(model.text.layers, 2);
    assert_int_equal(model.image.layers, 6);
    assert_int_equal(model.activation, TH_QUICK_GELU);
    assert_false(model.logit_bias);
    options.loss = "sigmoid";
    th_assert_ok(th_train_model(&options, 500, &model, &err), &err);
    assert_true(model.logit_bias);
    th_arena_close(&pool);
}

static void a_text_tower_is_of_clip_or_bert(void **state)
{
    static const struct {
        const char  *kind, *pool; // NULL: not said
        th_text_kind is;
        th_pool      pools;
        int64_t      types;
    } rows[] = { { NULL, "auto", TH_TEXT_CLIP, TH_POOL_END, 0 },
                 { "clip", "auto", TH_TEXT_CLIP, TH_POOL_END, 0 },
                 { "bert", "auto", TH_TEXT_BERT, TH_POOL_FIRST, 2 },
                 { "bert", "cls", TH_TEXT_BERT, TH_POOL_FIRST, 2 },
                 { "bert", "mean", TH_TEXT_BERT, TH_POOL_MEAN, 2 } };
    static const char *const refused[] = { "cls", "mean" };
    th_train_options         options;
    th_arena                 pool;
    th_model_config          model;
    th_err                   err = { 0 };

    (void)state;
    defaults(&options, &pool);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        options.text_kind = rows[i].kind, options.text_pool = rows[i].pool;
        th_assert_ok(th_train_model(&options, 500, &model, &err), &err);
        assert_int_equal(model.text.kind, rows[i].is);
        assert_int_equal(model.text.pool, rows[i].pools);
        assert_int_equal(model.text.types, rows[i].types);

        th_model_config again;
        th_train_set_model(&options, &model);
        th_assert_ok(th_train_model(&options, 500, &again, &err), &err);
        assert_memory_equal(&again.text, &model.text, sizeof model.text);
    }
    options.text_kind = "clip";
    for (int i = 0; i < 2; i++) {
        options.text_pool = refused[i];
        th_assert_error(th_train_model(&options, 500, &model, &err), TH_EUSAGE, &err,
                        "model.text.pool cannot be set with model.text.kind clip");
    }
    th_arena_close(&pool);
}

static void sizes_that_do_not_fit_are_named(void **state)
{
    th_train_options options;
    th_arena         pool;
    th_model_config  model;
    th_err           err = { 0 };

    (void)state;
    defaults(&options, &pool);
    options.image_patch = 30;
    th_assert_error(th_train_model(&options, 500, &model, &err), TH_EUSAGE, &err,
                    "model.image.patch must divide model.image.size: 30 does not divide 224");
    options.image_patch = 0;
    options.preset = "ViT-Z";
    th_assert_error(th_train_model(&options, 500, &model, &err), TH_EUSAGE, &err,
                    "unknown model.preset \"ViT-Z\"");
    th_arena_close(&pool);
}

static void spans_become_steps(void **state)
{
    static const struct {
        th_span span;
        int64_t steps;
    } rows[] = {
        { { 500, TH_STEPS }, 500 }, { { 1000, TH_SAMPLES }, 15 }, { { 2, TH_EPOCHS }, 31 },
        { { 0.01, TH_EPOCHS }, 1 }, { { 0, TH_STEPS }, 0 },       { { 0, TH_EPOCHS }, 0 },
        { { 1, TH_SAMPLES }, 1 },   { { 63.9, TH_EPOCHS }, 998 }, { { 2.9, TH_STEPS }, 2 },
    };
    int64_t steps;
    th_err  err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) { // 1000 records in batches of 64
        th_assert_ok(th_span_steps("for", rows[i].span, 64, 1000, &steps, &err), &err);
        assert_int_equal(steps, rows[i].steps);
    }
    th_assert_error(th_span_steps("for", (th_span){ 5, TH_SECONDS }, 64, 1000, &steps, &err),
                    TH_EUSAGE, &err, "option for must be in steps, samples or epochs");
    th_assert_error(th_span_steps("lr.warmup", (th_span){ 0, TH_NEVER }, 64, 1000, &steps, &err),
                    TH_EUSAGE, &err, "option lr.warmup must be");
    th_assert_error(th_span_steps("for", (th_span){ 1e300, TH_EPOCHS }, 64, 1000, &steps, &err),
                    TH_EUSAGE, &err, "option for is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(presets_give_sizes_where_none_is_set),
        cmocka_unit_test(a_text_tower_is_of_clip_or_bert),
        cmocka_unit_test(sizes_that_do_not_fit_are_named),
        cmocka_unit_test(spans_become_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
