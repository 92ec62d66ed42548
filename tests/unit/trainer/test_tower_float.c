/* The towers in float: against the reference, on any number of threads, in the memory they plan. */
#include "tests/unit/trainer/reference_tower.h"
#include "tests/unit/trainer/small_towers.h"
#include <omp.h>

#define EMBED 40

// Wide and long enough for several units of rows and of columns, with a remainder, and for more
// than one block of scores (50 tokens and more).
static const th_model_config middle_model = {
    .image = { .size = 40, .patch = 5, .width = 192, .layers = 2, .heads = 3 },
    .text = { .context = 60, .vocabulary = 99, .width = 144, .layers = 2, .heads = 3 },
    .embed = EMBED,
    .activation = TH_GELU,
};

static const th_model_config middle_bert = {
    .image = { .size = 10, .patch = 5, .width = 48, .layers = 1, .heads = 3 },
    .text = { .context = 60,
              .vocabulary = 99,
              .width = 144,
              .layers = 2,
              .heads = 3,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_FIRST,
              .types = 2 },
    .embed = EMBED,
};
static const th_model_config middle_bert_mean = {
    .image = { .size = 10, .patch = 5, .width = 48, .layers = 1, .heads = 3 },
    .text = { .context = 60,
              .vocabulary = 99,
              .width = 144,
              .layers = 2,
              .heads = 3,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_MEAN,
              .types = 2 },
    .embed = EMBED,
};
static const th_model_config *const middle_models[] = { &middle_model, &middle_bert,
                                                        &middle_bert_mean };
#define MIDDLE_MODELS (sizeof middle_models / sizeof *middle_models)

// Float rounds each of a few hundred additions of numbers of order 1 to 6e-8: features of order 1
// are off by some 1e-6; 2e-5 leaves room and is far below what a wrong term would do.
static void features_match_the_reference(void **state)
{
    (void)state;
    for (size_t m = 0; m <= MIDDLE_MODELS; m++) {
        th_model_config model = m ? *middle_models[m - 1] : middle_model;
        model.activation = m ? model.activation : TH_QUICK_GELU;
        small_towers *s = small_open(&model);
        double        want[SAMPLES * EMBED];
        th_real       got[SAMPLES * EMBED];

        ref_image(&s->image, s->pixels, SAMPLES, want);
        small_pass(s, TH_IMAGE, 0, SAMPLES, NULL, false, NULL, got);
        for (int i = 0; i < SAMPLES * EMBED; i++)
            th_assert_close(got[i], want[i], 2e-5);
        ref_text(&s->text, &s->captions, want);
        small_pass(s, TH_TEXT_TOWER, 0, SAMPLES, NULL, false, NULL, got);
        for (int i = 0; i < SAMPLES * EMBED; i++)
            th_assert_close(got[i], want[i], 2e-5);
        small_close(s);
    }
}

static void assert_threads_do_not_matter(const th_model_config *model)
{
    small_towers *s = small_open(model);
    size_t        bytes = (size_t)s->p.elements * sizeof(th_real);
    th_real      *gradient = small_new(s->p.elements, sizeof(th_real));
    th_real       features[SAMPLES * EMBED], want[SAMPLES * EMBED];
    int           before = omp_get_max_threads();

    for (th_tower tower = small_first(model); tower <= TH_TEXT_TOWER; tower++)
        for (int threads = 1; threads <= 4; threads++) {
            omp_set_num_threads(threads);
            small_pass(s, tower, 0, SAMPLES, s->d_features, false, NULL, features);
            small_pass(s, tower, 1, SAMPLES - 2, s->d_features, true, NULL, features);
            if (threads == 1) {
                memcpy(gradient, s->p.gradient, bytes);
                memcpy(want, features, sizeof want);
            }
            assert_memory_equal(features, want, sizeof want);
            assert_memory_equal(s->p.gradient, gradient, bytes);
        }
    omp_set_num_threads(before);
    free(gradient);
    small_close(s);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (size_t m = 0; m < MIDDLE_MODELS; m++)
        assert_threads_do_not_matter(middle_models[m]);
}

static void assert_tape_changes_nothing(small_towers *s, th_tower tower)
{
    th_real kept[SAMPLES * EMBED], bare[SAMPLES * EMBED];

    small_pass(s, tower, 0, SAMPLES, s->d_features, false, NULL, kept);
    small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, bare);
    assert_memory_equal(kept, bare, sizeof kept);
}

// Kept or not, a pass gives the same features: another path through the same kernels.
static void a_tape_does_not_change_features(void **state)
{
    (void)state;
    for (size_t m = 0; m < MIDDLE_MODELS; m++) {
        small_towers *s = small_open(middle_models[m]);
        for (th_tower tower = small_first(middle_models[m]); tower <= TH_TEXT_TOWER; tower++) {
            assert_tape_changes_nothing(s, tower);
            th_parameters_freeze_all(&s->p, false);
            assert_tape_changes_nothing(s, tower);
            for (int row = 0; row < s->p.row_count; row++)
                if (th_parameters_match(&s->p, row, "image.top(1)") ||
                    th_parameters_match(&s->p, row, "text.top(1)"))
                    s->p.rows[row].trainable = true;
            assert_tape_changes_nothing(s, tower);
            th_parameters_freeze_all(&s->p, true);
        }
        small_close(s);
    }
}

static void planned_bytes_are_enough_and_a_byte_less_is_refused(void **state)
{
    (void)state;
    small_towers *s = small_open(&middle_model);
    th_real       features[SAMPLES * EMBED];
    size_t        tape_bytes, scratch_bytes, kept, tight;
    th_tape      *tape;
    th_err        err = { 0 };
    th_arena      arena;

    th_image_tower_bytes(&s->image, SAMPLES, &tape_bytes, &scratch_bytes);
    th_assert_ok(th_arena_open(&arena, tape_bytes + scratch_bytes, &err), &err);
    th_assert_ok(th_image_forward(&s->image, s->pixels, SAMPLES, &arena, &tape, features, &err),
                 &err);
    kept = arena.used_bytes;
    assert_in_range(kept, tape_bytes - 128, tape_bytes);
    th_assert_ok(th_image_backward(&s->image, tape, s->d_features, false, &arena, NULL, &err),
                 &err);
    assert_int_equal(arena.used_bytes, kept); // backward frees nothing and leaves nothing
    tight = arena.peak_bytes;
    arena.reserved_bytes = tight - 64;
    th_assert_error(th_image_backward(&s->image, tape, s->d_features, false, &arena, NULL, &err),
                    TH_EIO, &err, "too small");
    th_arena_rewind(&arena, 0);
    arena.reserved_bytes = kept;
    th_assert_error(th_image_forward(&s->image, s->pixels, SAMPLES, &arena, &tape, features, &err),
                    TH_EIO, &err, "too small");
    assert_int_equal(arena.used_bytes, 0);
    arena.reserved_bytes = tape_bytes + scratch_bytes;
    th_arena_close(&arena);

    int64_t tokens = s->offsets[SAMPLES];
    th_text_tower_bytes(&s->text, SAMPLES, tokens, &tape_bytes, &scratch_bytes);
    th_assert_ok(th_arena_open(&arena, tape_bytes + scratch_bytes, &err), &err);
    th_assert_ok(th_text_forward(&s->text, &s->captions, &arena, &tape, features, &err), &err);
    assert_in_range(arena.used_bytes, tape_bytes - 128, tape_bytes);
    th_assert_ok(th_text_backward(&s->text, tape, s->d_features, false, &arena, NULL, &err), &err);
    arena.reserved_bytes = 4096;
    th_arena_rewind(&arena, 0);
    th_assert_error(th_text_forward(&s->text, &s->captions, &arena, &tape, features, &err), TH_EIO,
                    &err, "too small");
    arena.reserved_bytes = tape_bytes + scratch_bytes;
    th_arena_close(&arena);
    small_close(s);
}

// A frozen prefix keeps nothing, a frozen tower nothing at all.
static void frozen_groups_cost_no_memory(void **state)
{
    (void)state;
    small_towers *s = small_open(&middle_model);
    size_t        all, top, none, scratch;
    int64_t       T = SAMPLES * 65, W = 192;

    th_image_tower_bytes(&s->image, SAMPLES, &all, &scratch);
    for (int row = 0; row < s->p.row_count; row++)
        s->p.rows[row].trainable = th_parameters_match(&s->p, row, "image.top(1)");
    th_image_tower_bytes(&s->image, SAMPLES, &top, &scratch);
    assert_true(top < all - (size_t)(T * 11 * W) * sizeof(th_real)); // x, qkv, attended, mid, u, z
    th_parameters_freeze_all(&s->p, false);
    th_image_tower_bytes(&s->image, SAMPLES, &none, &scratch);
    assert_true(none < 4096);
    small_close(s);
}

static void bad_captions_are_refused(void **state)
{
    (void)state;
    small_towers *s = small_open(&small_model);
    th_real       features[SAMPLES * 10];
    th_err        err = { 0 };
    int32_t       keep = s->tokens[3];

    s->tokens[3] = (int32_t)small_model.text.vocabulary;
    th_assert_error(th_text_forward(&s->text, &s->captions, &s->arena, NULL, features, &err),
                    TH_EDATA, &err, "token 40 of caption");
    s->tokens[3] = -1;
    th_assert_error(th_text_forward(&s->text, &s->captions, &s->arena, NULL, features, &err),
                    TH_EDATA, &err, "token -1 of caption");
    s->tokens[3] = keep;
    int64_t end = s->offsets[1];
    s->offsets[1] = s->offsets[0];
    th_assert_error(th_text_forward(&s->text, &s->captions, &s->arena, NULL, features, &err),
                    TH_EDATA, &err, "caption 0 has 0 tokens");
    s->offsets[1] = s->offsets[0] + 10;
    th_assert_error(th_text_forward(&s->text, &s->captions, &s->arena, NULL, features, &err),
                    TH_EDATA, &err, "caption 0 has 10 tokens");
    s->offsets[1] = end;
    small_close(s);
}

// A rank may have no sample in a micro-batch: its gradients are zero, or stay when added to.
static void no_samples_give_zero_gradients(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++) {
        small_towers *s = small_open(small_models[m]);
        for (th_tower tower = small_first(small_models[m]); tower <= TH_TEXT_TOWER; tower++) {
            small_fill(s->p.gradient, s->p.elements, 9, 1);
            const char *name = tower == TH_IMAGE ? "visual.class_embedding" : "text_projection";
            th_real    *first = th_gradient(&s->p, th_parameters_find(&s->p, name));
            th_real     before = *first, features[1];
            small_pass(s, tower, 0, 0, s->d_features, true, NULL, features);
            assert_true(*first == before);
            small_pass(s, tower, 0, 0, s->d_features, false, NULL, features);
            for (int row = 0; row < s->p.row_count; row++)
                for (int64_t i = 0; s->p.rows[row].tower == tower && i < s->p.rows[row].count; i++)
                    assert_true(th_gradient(&s->p, row)[i] == 0);
        }
        small_close(s);
    }
}

// An element of the row that some sample uses: of positions and token types those are the first,
// of tokens the last, which ends each caption.
static th_real *used_weight(const small_towers *s, int row)
{
    bool first = strstr(s->p.rows[row].name, "positional_embedding") != NULL ||
                 strstr(s->p.rows[row].name, "token_type") != NULL;
    return th_weight(&s->p, row) + (first ? 0 : s->p.rows[row].count - 1);
}

static void nan_comes_through(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++) {
        small_towers *s = small_open(small_models[m]);
        th_real       features[SAMPLES * 10];

        for (int row = 0; row < s->p.row_count; row++) {
            th_tower tower = s->p.rows[row].tower;
            if (tower == TH_NO_TOWER)
                continue;
            th_real *w = used_weight(s, row), keep = *w, sum = 0;
            *w = NAN;
            small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, features);
            *w = keep;
            for (int i = 0; i < SAMPLES * 10; i++)
                sum += features[i];
            if (!isnan(sum))
                fail_msg("a NaN in %s is lost", s->p.rows[row].name);
        }
        small_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_match_the_reference),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(a_tape_does_not_change_features),
        cmocka_unit_test(planned_bytes_are_enough_and_a_byte_less_is_refused),
        cmocka_unit_test(frozen_groups_cost_no_memory),
        cmocka_unit_test(bad_captions_are_refused),
        cmocka_unit_test(no_samples_give_zero_gradients),
        cmocka_unit_test(nan_comes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
