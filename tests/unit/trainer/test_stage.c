/* tests/unit/trainer/test_stage.c - which rows a stage trains, step by step, and how long it is. */
#include "stage_fixture.h"

static void lists_replace_and_change_the_set(void **state)
{
    static const struct {
        const char *before, *stage, *want;
    } rows[] = {
        { "[]", "train=all", "TTTTT TTTT T" },
        { "all", "train=text", "fffff TTTT f" },
        { "[]", "train=[text, heads]", "ffffT TTTT T" },
        { "[]", "train=heads", "ffffT fffT T" },
        { "[]", "train=[image.top(2)]", "ffTTT ffff f" },
        { "[]", "train=[image.top(2), text.top(0)]", "ffTTT fffT f" },
        { "[]", "train=image.top(9)", "fTTTT ffff f" },
        { "[]", "train=image.blocks[1]", "ffTff ffff f" },
        { "[]", "train=[image.blocks[0:2], text.embed]", "fTTff Tfff f" },
        { "[]", "train=[image.blocks,text.blocks]", "fTTTf fTTf f" },
        { "[]", "train=logit_scale", "fffff ffff T" },
        { "[]", "train=*.ln_1.*", "fpppf fppf f" },
        { "[]", "train=[visual.proj, *.resblocks.[12].*]", "ffTpT ffpf f" },
        { "all", "freeze=image", "fffff TTTT T" },
        { "[text, heads]", "unfreeze=image.top(1)", "fffTT TTTT T" },
        { "[text, heads]", "unfreeze=image.top(1);freeze=[text.embed, image.head]",
          "fffTf fTTT T" },
        { "all", "train=all;freeze=text", "TTTTT ffff T" },
        { "image", "freeze=image.embed", "fTTTT ffff f" }, // re-freeze
    };
    stage_case *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        trained_before(f, rows[i].before);
        assert_letters(f, rows[i].stage, 0, rows[i].want);
        assert_letters(f, rows[i].stage, 1000000, rows[i].want);
    }
}

// The top block's own rows and the norm behind it are one group, so a glob on the blocks leaves a
// part of it.
static void a_tower_thaws_group_by_group(void **state)
{
    static const struct {
        const char *before, *stage;
        int64_t     step;
        const char *want;
    } rows[] = {
        { "[text, heads]", "unfreeze.tower=image;unfreeze.one_group_every=5 steps", 0,
          "fffTT TTTT T" },
        { "[text, heads]", "unfreeze.tower=image;unfreeze.one_group_every=5 steps", 4,
          "fffTT TTTT T" },
        { "[text, heads]", "unfreeze.tower=image;unfreeze.one_group_every=5 steps", 5,
          "ffTTT TTTT T" },
        { "[text, heads]", "unfreeze.tower=image;unfreeze.one_group_every=5 steps", 14,
          "fTTTT TTTT T" },
        { "[text, heads]", "unfreeze.tower=image;unfreeze.one_group_every=5 steps", 15,
          "TTTTT TTTT T" },
        { "[text, heads]",
          "unfreeze.tower=image;unfreeze.from=bottom;unfreeze.one_group_every=5 steps", 9,
          "TTffT TTTT T" },
        { "[]", "unfreeze.text.one_group_every=100 samples", 29, "fffff fTTT f" },
        { "[]", "unfreeze.text.one_group_every=0.1 epochs", 30, "fffff TTTT f" },
        // Both at once, on clocks of their own.
        { "logit_scale",
          "unfreeze.image.one_group_every=10 steps;unfreeze.text.one_group_every=4 steps;"
          "unfreeze.text.from=bottom",
          0, "ffffT Tfff T" },
        { "logit_scale",
          "unfreeze.image.one_group_every=10 steps;unfreeze.text.one_group_every=4 steps;"
          "unfreeze.text.from=bottom",
          10, "fffTT TTTf T" },
        // A group that trains in part is frozen still: its turn comes.
        { "*.ln_1.*", "unfreeze.image.one_group_every=5 steps", 5, "fppTT fppf f" },
        // What the stage freezes thaws again in its turn.
        { "all", "freeze=image;unfreeze.image.one_group_every=5 steps", 5, "fffTT TTTT T" },
    };
    stage_case *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        trained_before(f, rows[i].before);
        assert_letters(f, rows[i].stage, rows[i].step, rows[i].want);
    }
}

static void thawed_rows_know_their_step(void **state)
{
    stage_case *f = *state;
    th_stage    stage = stage_of(f, "unfreeze.image.one_group_every=5 steps");
    th_err      err = { 0 };
    char        text[16];
    int         norm = th_parameters_find(&f->table, "visual.transformer.resblocks.1.ln_1.weight");
    int         bias = th_parameters_find(&f->table, "visual.transformer.resblocks.1.ln_2.bias");

    trained_before(f, "[text, heads, *.ln_1.*]");
    th_assert_ok(letters(f, &stage, 7, text, &err), &err);
    assert_string_equal(text, "fpTTT TTTT T");
    assert_int_equal(f->thawed[norm], 0); // it trained before
    assert_int_equal(f->thawed[bias], 5);
    assert_int_equal(f->thawed[th_parameters_find(&f->table, "visual.proj")], 0);
}

static void what_selects_nothing_is_refused(void **state)
{
    static const struct {
        const char *stage, *what;
    } rows[] = {
        { "train=vision", "pattern \"vision\" of train selects no parameter" },
        { "train=[text, *.ln_3.*]", "pattern \"*.ln_3.*\" of train selects no parameter" },
        { "train=text;freeze=image.blocks[7]", "pattern \"image.blocks[7]\" of freeze selects no" },
        { "train=text;unfreeze=fusion", "pattern \"fusion\" of unfreeze selects no" },
        { "train=image.blocks[2:2]", "selects no parameter" },
        { "train=text heads", "selects no parameter" },
        { "train=[]", "it trains nothing" },
        { "train=all;freeze=all", "it trains nothing" },
        { "freeze=text", "it trains nothing" },
        { "train=[text", "cannot read \"\" of train" },
        { "train=text, ]", "cannot read \", ]\" of train" },
        { "train=[text], heads", "cannot read \"], heads\" of train" },
        { "train=[text, "
          "*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]",
          "as a pattern of less than 128 bytes" },
    };
    stage_case *f = *state;
    th_err      err = { 0 };
    char        text[16];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_stage stage = stage_of(f, rows[i].stage);
        th_code  rc = letters(f, &stage, 0, text, &err);
        assert_non_null(strstr(err.trail, rows[i].stage)); // its name
        th_assert_error(rc, TH_EUSAGE, &err, rows[i].what);
    }
}

// Batches have 10 samples, the pack has 1000.
static void a_stage_has_a_length(void **state)
{
    static const struct {
        const char *before, *stage;
        int64_t     want;
    } rows[] = {
        { "[]", "train=all;for=7 steps", 7 },
        { "[]", "train=all;for=2 epochs", 200 },
        { "[]", "train=all;for=99 samples", 9 },
        { "[]", "train=all;for=3 samples", 1 },
        { "[]", "train=all;batch=50;for=2 epochs", 40 },
        { "[]", "train=all;until.plateau=val/loss", 0 },
        { "[]", "train=all;until.plateau=val/loss;until.max=1 epoch", 100 },
        { "[]", "train=all;for=60 steps;until.plateau=val/loss;until.max=1 epoch", 60 },
        { "[]", "train=all;for=60 steps;until.max=50 steps", 50 },
        // One turn for each group that is frozen at the start.
        { "[text, heads]", "unfreeze.image.one_group_every=5 steps", 20 },
        { "[]", "unfreeze.image.one_group_every=5 steps", 25 },
        { "[text, image.top(2)]", "unfreeze.image.one_group_every=5 steps", 10 },
        { "*.ln_1.*", "unfreeze.image.one_group_every=5 steps", 25 },
        { "all", "freeze=image.embed;unfreeze.image.one_group_every=5 steps", 5 },
        { "heads", "unfreeze.image.one_group_every=5 steps;unfreeze.text.one_group_every=9 steps",
          27 },
        { "heads", "unfreeze.tower=text;unfreeze.one_group_every=9 steps", 27 },
        { "all", "unfreeze.image.one_group_every=5 steps", 0 }, // nothing to thaw
        { "heads", "unfreeze.image.one_group_every=5 steps;for=99 steps", 99 },
        { "heads", "unfreeze.image.one_group_every=5 steps;until.plateau=train/loss", 0 },
    };
    stage_case *f = *state;
    th_err      err = { 0 };
    int64_t     got;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_stage stage = stage_of(f, rows[i].stage);
        trained_before(f, rows[i].before);
        th_assert_ok(th_stage_steps(&stage, &f->table, RECORDS, f->before, &got, &err), &err);
        if (got != rows[i].want)
            fail_msg("\"%s\" has %lld steps, want %lld", rows[i].stage, (long long)got,
                     (long long)rows[i].want);
    }
    th_stage wrong = stage_of(f, "train=all;for=3 min");
    th_assert_error(th_stage_steps(&wrong, &f->table, RECORDS, f->before, &got, &err), TH_EUSAGE,
                    &err, "option for must be in steps, samples or epochs");
}

// 0.5 to the power of the groups above; towers without one, and the logit scale, have 1.
static void layer_decay_counts_from_the_top(void **state)
{
    static const struct {
        const char *name;
        double      want;
    } rows[] = {
        { "visual.conv1.weight", 0.0625 },
        { "visual.transformer.resblocks.0.ln_1.bias", 0.125 },
        { "visual.transformer.resblocks.2.mlp.c_fc.weight", 0.5 },
        { "visual.ln_post.weight", 0.5 },
        { "visual.proj", 1 },
        { "token_embedding.weight", 0.729 },
        { "transformer.resblocks.1.ln_2.bias", 0.9 },
        { "ln_final.weight", 0.9 },
        { "text_projection", 1 },
        { "logit_scale", 1 },
    };
    stage_case *f = *state;
    th_stage    both = stage_of(f, "train=all;layer_decay.image=0.5;layer_decay.text=0.9");
    th_stage    one = stage_of(f, "train=all;layer_decay.text=0.9");
    double     *factor = calloc((size_t)f->table.row_count, sizeof *factor);

    assert_non_null(factor);
    th_stage_layer_decay(&both, &f->table, factor);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) // powers of 0.9 round
        th_assert_close(factor[th_parameters_find(&f->table, rows[i].name)], rows[i].want, 1e-15);
    th_stage_layer_decay(&one, &f->table, factor);
    th_assert_close(factor[0], 1, 0);
    free(factor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(lists_replace_and_change_the_set),
        WITH_TABLE(a_tower_thaws_group_by_group),
        WITH_TABLE(thawed_rows_know_their_step),
        WITH_TABLE(what_selects_nothing_is_refused),
        WITH_TABLE(a_stage_has_a_length),
        WITH_TABLE(layer_decay_counts_from_the_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
