/* tests/unit/trainer/tower_cut_cases.h - the cut of a tower: what is frozen below it, and the rest.
 *
 * Compiled in float and in double. Bits are compared as bytes: a row that is kept and one that is
 * computed again may not differ at all. */
#define SAMPLES 40
#include "tests/unit/trainer/small_towers.h"
#include <omp.h>

// Widths that fill no vector, rows that begin on no boundary, and more than one block of scores.
static const th_model_config odd_model = {
    .image = { .size = 24, .patch = 3, .width = 54, .layers = 3, .heads = 3 },
    .text = { .context = 53, .vocabulary = 60, .width = 90, .layers = 2, .heads = 3 },
    .embed = 21,
    .activation = TH_QUICK_GELU,
};
static const th_model_config odd_bert = {
    .image = { .size = 6, .patch = 3, .width = 6, .layers = 1, .heads = 1 },
    .text = { .context = 13,
              .vocabulary = 30,
              .width = 42,
              .layers = 2,
              .heads = 3,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_FIRST,
              .types = 2 },
    .embed = 21,
};
static const th_model_config odd_bert_mean = {
    .image = { .size = 6, .patch = 3, .width = 6, .layers = 1, .heads = 1 },
    .text = { .context = 13,
              .vocabulary = 30,
              .width = 42,
              .layers = 2,
              .heads = 3,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_MEAN,
              .types = 2 },
    .embed = 21,
};
static const th_model_config *const cut_models[] = { &small_model, &odd_model, &odd_bert,
                                                     &odd_bert_mean };
#define CUT_MODELS (sizeof cut_models / sizeof *cut_models)

static int layers_of(const small_towers *s, th_tower tower)
{
    return (int)(tower == TH_IMAGE ? s->p.model.image.layers : s->p.model.text.layers);
}

/* What is below `depth` of the tower is frozen, all else trains. */
static void cut_at(small_towers *s, th_tower tower, int depth)
{
    for (int row = 0; row < s->p.row_count; row++) {
        const th_group *group = &s->p.groups[s->p.rows[row].group];
        s->p.rows[row].trainable = group->tower != tower || group->depth >= depth;
    }
    assert_int_equal(th_tower_cut(&s->p, tower), depth);
}

/* Reals of the rows of samples 0 .. n - 1. */
static int64_t reals_before(const small_towers *s, th_tower tower, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += th_tower_cut_reals(&s->p, tower, s->offsets[i + 1] - s->offsets[i]);
    return sum;
}

static void lower(small_towers *s, th_tower tower, int64_t first, int64_t n, th_real *rows)
{
    th_err      err = { 0 };
    int64_t     side = s->p.model.image.size;
    th_captions part = { s->tokens, s->offsets + first, n };

    if (tower == TH_IMAGE)
        th_assert_ok(th_image_lower(&s->image, s->pixels + first * side * side * 3, n, &s->arena,
                                    rows, &err),
                     &err);
    else
        th_assert_ok(th_text_lower(&s->text, &part, &s->arena, rows, &err), &err);
    assert_int_equal(s->arena.used_bytes, 0);
}

/* From rows to features, and with d_features backward. */
static void upper(small_towers *s, th_tower tower, int64_t n, const th_real *rows,
                  const th_real *d_features, th_real *features)
{
    th_err      err = { 0 };
    th_tape    *tape = NULL, **keep = d_features ? &tape : NULL;
    th_captions part = { NULL, s->offsets, n };

    if (tower == TH_IMAGE) {
        th_assert_ok(th_image_upper(&s->image, rows, n, &s->arena, keep, features, &err), &err);
        if (keep)
            th_assert_ok(
                th_image_backward(&s->image, tape, d_features, false, &s->arena, NULL, &err), &err);
    } else {
        th_assert_ok(th_text_upper(&s->text, &part, rows, &s->arena, keep, features, &err), &err);
        if (keep)
            th_assert_ok(th_text_backward(&s->text, tape, d_features, false, &s->arena, NULL, &err),
                         &err);
    }
    th_arena_rewind(&s->arena, 0);
}

/* The whole batch on one thread is what every part of it, on any number of threads, must repeat. */
static void assert_company_does_not_matter(small_towers *s, th_tower tower)
{
    static const int64_t counts[] = { 1, 2, 3, 7, 33, SAMPLES };
    int64_t              most = reals_before(s, tower, SAMPLES);
    th_real             *want = small_new(most, sizeof *want), *got = small_new(most, sizeof *got);

    omp_set_num_threads(1);
    lower(s, tower, 0, SAMPLES, want);
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            int64_t n = counts[c], step = threads == 1 && n < 7 ? 1 : 13;
            for (int64_t first = 0; first + n <= SAMPLES; first += step) {
                int64_t begin = reals_before(s, tower, first);
                int64_t count = reals_before(s, tower, first + n) - begin;
                lower(s, tower, first, n, got);
                if (memcmp(got, want + begin, (size_t)count * sizeof *got) != 0)
                    fail_msg(
                        "tower %d, cut %d, %d threads: samples %d to %d are not the same alone",
                        (int)tower, th_tower_cut(&s->p, tower), threads, (int)first,
                        (int)(first + n - 1));
            }
        }
    }
    free(want), free(got);
}

static void rows_do_not_depend_on_their_company(void **state)
{
    int before = omp_get_max_threads();

    (void)state;
    for (size_t m = 0; m < CUT_MODELS; m++) {
        small_towers *s = small_open(cut_models[m]);
        for (th_tower tower = small_first(cut_models[m]); tower <= TH_TEXT_TOWER; tower++)
            for (int depth = 1; depth <= layers_of(s, tower) + 2; depth++) {
                cut_at(s, tower, depth);
                assert_company_does_not_matter(s, tower);
            }
        small_close(s);
    }
    omp_set_num_threads(before);
}

static void lower_and_upper_are_forward_bit_for_bit(void **state)
{
    (void)state;
    for (size_t m = 0; m < CUT_MODELS; m++) {
        small_towers *s = small_open(cut_models[m]);
        size_t        bytes = (size_t)s->p.elements * sizeof(th_real);
        int64_t       count = SAMPLES * s->p.model.embed;
        th_real      *gradient = small_new(s->p.elements, sizeof *gradient);
        th_real      *want = small_new(count, sizeof *want), *got = small_new(count, sizeof *got);

        for (th_tower tower = small_first(cut_models[m]); tower <= TH_TEXT_TOWER; tower++)
            for (int depth = 1; depth <= layers_of(s, tower) + 2; depth++) {
                cut_at(s, tower, depth);
                th_real *rows = small_new(reals_before(s, tower, SAMPLES), sizeof *rows);
                small_fill(s->p.gradient, s->p.elements, 11, 1);
                small_pass(s, tower, 0, SAMPLES, s->d_features, false, NULL, want);
                memcpy(gradient, s->p.gradient, bytes);

                small_fill(s->p.gradient, s->p.elements, 11, 1);
                lower(s, tower, 0, SAMPLES, rows);
                upper(s, tower, SAMPLES, rows, s->d_features, got);
                assert_memory_equal(got, want, (size_t)count * sizeof *got);
                assert_memory_equal(s->p.gradient, gradient, bytes);

                memset(got, 0, (size_t)count * sizeof *got);
                upper(s, tower, SAMPLES, rows, NULL, got);
                assert_memory_equal(got, want, (size_t)count * sizeof *got);
                small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, got);
                assert_memory_equal(got, want, (size_t)count * sizeof *got);
                free(rows);
            }
        free(gradient), free(want), free(got);
        small_close(s);
    }
}

// The same sums in another order. Values of order 1 and a few hundred terms, block after block:
// 2e-5 in float, 1e-11 in double (as against the reference).
static void assert_cuts_change_only_rounding(const th_model_config *model)
{
    const double  tolerance = sizeof(th_real) == sizeof(float) ? 2e-5 : 1e-11;
    small_towers *s = small_open(model);
    int64_t       count = SAMPLES * s->p.model.embed;
    th_real      *want = small_new(count, sizeof *want), *got = small_new(count, sizeof *got);

    for (th_tower tower = small_first(model); tower <= TH_TEXT_TOWER; tower++)
        for (int depth = 0; depth <= layers_of(s, tower) + 2; depth++) {
            cut_at(s, tower, depth);
            small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, depth == 0 ? want : got);
            for (int64_t i = 0; depth > 0 && i < count; i++)
                th_assert_close(got[i], want[i], tolerance);
        }
    free(want), free(got);
    small_close(s);
}

static void the_cut_changes_features_by_rounding_alone(void **state)
{
    (void)state;
    for (size_t m = 0; m < CUT_MODELS; m++)
        assert_cuts_change_only_rounding(cut_models[m]);
}

static void a_cut_is_at_the_lowest_trainable_row(void **state)
{
    static const struct {
        const char *trains;
        int         image, text;
        int64_t     image_reals, text_reals; // of a caption of 5 tokens
    } cases[] = {
        { "all", 0, 0, 0, 0 },
        { "image.embed", 0, 4, 0, 10 },
        { "positional_embedding", 5, 0, 10, 0 },
        { "image", 0, 4, 0, 10 },
        { "image.blocks[0]", 1, 4, 10 * 24, 10 },
        { "text.blocks[0]", 5, 1, 10, 5 * 20 },
        { "*.resblocks.1.mlp.c_proj.bias", 2, 2, 10 * 24, 5 * 20 },
        { "*.resblocks.2.ln_1.weight", 3, 4, 10 * 24, 10 },
        { "visual.ln_post.bias", 3, 4, 10 * 24, 10 },
        { "heads", 4, 3, 24, 20 },
        { "logit_scale", 5, 4, 10, 10 },
    };
    small_towers *s = small_open(&small_model); // 10 image tokens

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int row = 0; row < s->p.row_count; row++)
            s->p.rows[row].trainable = th_parameters_match(&s->p, row, cases[c].trains);
        assert_int_equal(th_tower_cut(&s->p, TH_IMAGE), cases[c].image);
        assert_int_equal(th_tower_cut(&s->p, TH_TEXT_TOWER), cases[c].text);
        assert_int_equal(th_tower_cut_reals(&s->p, TH_IMAGE, 5), cases[c].image_reals);
        assert_int_equal(th_tower_cut_reals(&s->p, TH_TEXT_TOWER, 5), cases[c].text_reals);
    }
    small_close(s);
}

// A pass that is planned for runs in its bytes: whole, in parts, kept or not.
static void assert_planned_bytes_are_enough(small_towers *s, th_tower tower)
{
    size_t tape, scratch;

    if (tower == TH_IMAGE)
        th_image_tower_bytes(&s->image, SAMPLES, &tape, &scratch);
    else
        th_text_tower_bytes(&s->text, SAMPLES, s->offsets[SAMPLES], &tape, &scratch);
    th_real *features = small_new(SAMPLES * s->p.model.embed, sizeof *features);
    th_real *rows = small_new(reals_before(s, tower, SAMPLES), sizeof *rows);
    size_t   reserved = s->arena.reserved_bytes;

    s->arena.reserved_bytes = tape + scratch;
    small_pass(s, tower, 0, SAMPLES, s->d_features, false, NULL, features);
    s->arena.reserved_bytes = scratch;
    small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, features);
    if (th_tower_cut(&s->p, tower) > 0) {
        lower(s, tower, 0, SAMPLES, rows);
        upper(s, tower, SAMPLES, rows, NULL, features);
        s->arena.reserved_bytes = tape + scratch;
        upper(s, tower, SAMPLES, rows, s->d_features, features);
    }
    s->arena.reserved_bytes = reserved;
    free(features), free(rows);
}

static void planned_bytes_are_enough_at_every_cut(void **state)
{
    (void)state;
    for (size_t m = 0; m < CUT_MODELS; m++) {
        small_towers *s = small_open(cut_models[m]);
        for (th_tower tower = small_first(cut_models[m]); tower <= TH_TEXT_TOWER; tower++)
            for (int depth = 0; depth <= layers_of(s, tower) + 2; depth++) {
                cut_at(s, tower, depth);
                assert_planned_bytes_are_enough(s, tower);
            }
        small_close(s);
    }
}

static void what_cannot_be_cut_is_refused(void **state)
{
    (void)state;
    small_towers *s = small_open(&small_model);
    size_t        reserved = s->arena.reserved_bytes;
    th_real      *rows = small_new(SAMPLES * 240, sizeof *rows), features[SAMPLES * 10];
    th_err        err = { 0 };

    th_assert_error(th_image_lower(&s->image, s->pixels, 2, &s->arena, rows, &err), TH_EUSAGE, &err,
                    "the image tower trains from the bottom");
    th_assert_error(th_image_upper(&s->image, rows, 2, &s->arena, NULL, features, &err), TH_EUSAGE,
                    &err, "the image tower trains from the bottom");
    th_assert_error(th_text_lower(&s->text, &s->captions, &s->arena, rows, &err), TH_EUSAGE, &err,
                    "the text tower trains from the bottom");
    th_assert_error(th_text_upper(&s->text, &s->captions, rows, &s->arena, NULL, features, &err),
                    TH_EUSAGE, &err, "the text tower trains from the bottom");

    cut_at(s, TH_TEXT_TOWER, 1);
    s->tokens[3] = (int32_t)small_model.text.vocabulary;
    th_assert_error(th_text_lower(&s->text, &s->captions, &s->arena, rows, &err), TH_EDATA, &err,
                    "token 40 of caption");
    s->tokens[3] = 0;
    s->offsets[1] = s->offsets[0];
    th_assert_error(th_text_upper(&s->text, &s->captions, rows, &s->arena, NULL, features, &err),
                    TH_EDATA, &err, "caption 0 has 0 tokens");

    cut_at(s, TH_IMAGE, 2);
    s->arena.reserved_bytes = 4096;
    th_assert_error(th_image_lower(&s->image, s->pixels, 2, &s->arena, rows, &err), TH_EIO, &err,
                    "too small");
    th_assert_error(th_image_upper(&s->image, rows, 2, &s->arena, NULL, features, &err), TH_EIO,
                    &err, "too small");
    th_assert_error(th_image_forward(&s->image, s->pixels, 2, &s->arena, NULL, features, &err),
                    TH_EIO, &err, "too small");
    assert_int_equal(s->arena.used_bytes, 0);
    s->arena.reserved_bytes = reserved;
    free(rows);
    small_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_their_company),
        cmocka_unit_test(lower_and_upper_are_forward_bit_for_bit),
        cmocka_unit_test(the_cut_changes_features_by_rounding_alone),
        cmocka_unit_test(a_cut_is_at_the_lowest_trainable_row),
        cmocka_unit_test(planned_bytes_are_enough_at_every_cut),
        cmocka_unit_test(what_cannot_be_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
