/* The towers in double: features against the reference, gradients against central differences.
 *
 * Tolerances. Features: both sides compute in double, values are of order 1: 1e-11. Gradients: with
 * h = 1e-5 a central difference of a function of order 1 is off by h^2 (third derivative) and
 * 1e-16 / h: about 1e-9 together; 1e-6 relative to the largest gradient of the row leaves room. */
#include "tests/unit/trainer/reference_tower.h"
#include "tests/unit/trainer/small_towers.h"

#define H 1e-5

static double objective(small_towers *s, th_tower tower)
{
    int64_t  count = SAMPLES * s->p.model.embed;
    th_real *features = small_new(count, sizeof *features);
    double   sum = 0;

    small_pass(s, tower, 0, SAMPLES, NULL, false, NULL, features);
    for (int64_t i = 0; i < count; i++)
        sum += features[i] * s->d_features[i];
    free(features);
    return sum;
}

static void backward(small_towers *s, th_tower tower, bool add)
{
    th_real *features = small_new(SAMPLES * s->p.model.embed, sizeof *features);
    small_pass(s, tower, 0, SAMPLES, s->d_features, add, NULL, features);
    free(features);
}

// Every parameter of a small row, a dozen spread over a large one.
static void check_row(small_towers *s, th_tower tower, int row)
{
    const th_parameter *r = &s->p.rows[row];
    th_real            *w = th_weight(&s->p, row), *g = th_gradient(&s->p, row);
    int64_t             step = r->count > 24 ? r->count / 11 : 1;
    double              most = 1e-3;

    for (int64_t i = 0; i < r->count; i++)
        most = fabs(g[i]) > most ? fabs(g[i]) : most;
    for (int64_t i = 0; i < r->count; i += step) {
        double keep = w[i], up, down;
        w[i] = keep + H;
        up = objective(s, tower);
        w[i] = keep - H;
        down = objective(s, tower);
        w[i] = keep;
        if (fabs((up - down) / (2 * H) - g[i]) > 1e-6 * most)
            print_error("%s[%lld]:\n", r->name, (long long)i);
        th_assert_close(g[i], (up - down) / (2 * H), 1e-6 * most);
    }
}

static void check_tower(const th_model_config *model, th_tower tower)
{
    small_towers *s = small_open(model);

    backward(s, tower, false);
    for (int row = 0; row < s->p.row_count; row++)
        if (s->p.rows[row].tower == tower)
            check_row(s, tower, row);
    small_close(s);
}

static void image_gradients_match_differences(void **state)
{
    th_model_config quick = small_model;

    (void)state;
    check_tower(&small_model, TH_IMAGE);
    quick.activation = TH_QUICK_GELU;
    check_tower(&quick, TH_IMAGE);
}

static void text_gradients_match_differences(void **state)
{
    th_model_config quick = small_model;

    (void)state;
    check_tower(&small_model, TH_TEXT_TOWER);
    quick.activation = TH_QUICK_GELU;
    check_tower(&quick, TH_TEXT_TOWER);
}

static void bert_gradients_match_differences(void **state)
{
    (void)state;
    check_tower(&small_bert, TH_TEXT_TOWER);
    check_tower(&small_bert_mean, TH_TEXT_TOWER);
}

// The reference computes the last block whole and pads every caption to the context.
static void features_match_the_reference(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++) {
        small_towers *s = small_open(small_models[m]);
        int64_t       count = SAMPLES * s->p.model.embed;
        double       *want = ref_new(count), *got = ref_new(count);

        ref_image(&s->image, s->pixels, SAMPLES, want);
        small_pass(s, TH_IMAGE, 0, SAMPLES, NULL, false, NULL, got);
        for (int64_t i = 0; i < count; i++)
            th_assert_close(got[i], want[i], 1e-11);
        ref_text(&s->text, &s->captions, want);
        small_pass(s, TH_TEXT_TOWER, 0, SAMPLES, NULL, false, NULL, got);
        for (int64_t i = 0; i < count; i++)
            th_assert_close(got[i], want[i], 1e-11);
        free(want), free(got);
        small_close(s);
    }
}

// Gradients after text padded with tokens that nothing may read: the padded tower's derivative by
// central differences of the reference, for a few parameters of every row.
static void assert_gradients_of_padded_text(const th_model_config *model)
{
    small_towers *s = small_open(model);
    int64_t       count = SAMPLES * s->p.model.embed;
    double       *features = ref_new(count);

    backward(s, TH_TEXT_TOWER, false);
    for (int row = 0; row < s->p.row_count; row++) {
        const th_parameter *r = &s->p.rows[row];
        if (r->tower != TH_TEXT_TOWER)
            continue;
        th_real *w = th_weight(&s->p, row);
        int64_t  i = r->count / 2;
        double   keep = w[i], sum = 0;
        for (int side = -1; side <= 1; side += 2) {
            w[i] = keep + side * H;
            ref_text(&s->text, &s->captions, features);
            for (int64_t k = 0; k < count; k++)
                sum += side * features[k] * s->d_features[k];
        }
        w[i] = keep;
        th_assert_close(th_gradient(&s->p, row)[i], sum / (2 * H), 2e-6);
    }
    free(features);
    small_close(s);
}

static void text_gradients_are_those_of_padded_text(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++)
        assert_gradients_of_padded_text(small_models[m]);
}

static double *copy_gradients(const small_towers *s)
{
    double *copy = ref_new(s->p.elements);
    memcpy(copy, s->p.gradient, (size_t)s->p.elements * sizeof *copy);
    return copy;
}

// Sums of the same products in another order: 1e-12 of values of order 1 to 100.
static void assert_gradients(const small_towers *s, th_tower tower, const double *want,
                             double factor)
{
    for (int row = 0; row < s->p.row_count; row++) {
        const th_parameter *r = &s->p.rows[row];
        for (int64_t i = 0; r->tower == tower && r->trainable && i < r->count; i++)
            th_assert_close(th_gradient(&s->p, row)[i], factor * want[r->offset + i], 1e-10);
    }
}

static void assert_micro_batches_add_up(const th_model_config *model)
{
    small_towers *s = small_open(model);
    th_real       features[SAMPLES * 10];

    for (th_tower tower = small_first(model); tower <= TH_TEXT_TOWER; tower++) {
        backward(s, tower, false);
        double *whole = copy_gradients(s);
        for (int64_t size = 1; size <= 3; size += 2) {
            for (int64_t i = 0; i < SAMPLES; i += size)
                small_pass(s, tower, i, i + size < SAMPLES ? size : SAMPLES - i,
                           s->d_features + i * 10, i > 0, NULL, features);
            assert_gradients(s, tower, whole, 1);
        }
        backward(s, tower, false);
        backward(s, tower, true);
        assert_gradients(s, tower, whole, 2);
        free(whole);
    }
    small_close(s);
}

static void micro_batches_add_up_to_the_whole(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++)
        assert_micro_batches_add_up(small_models[m]);
}

#define FROZEN_MARK 12345.0

static void set_trainable(small_towers *s, const char *const *patterns)
{
    th_parameters_freeze_all(&s->p, false);
    for (; *patterns; patterns++)
        for (int row = 0; row < s->p.row_count; row++)
            if (th_parameters_match(&s->p, row, *patterns)) {
                s->p.rows[row].trainable = true;
                s->p.groups[s->p.rows[row].group].trainable = true;
            }
    for (int64_t i = 0; i < s->p.elements; i++)
        s->p.gradient[i] = FROZEN_MARK;
}

// Whatever is frozen, the trainable rows get the gradients they would get with all trainable, and
// the frozen rows' gradients are not touched.
static void assert_frozen_rows_change_nothing_else(const th_model_config *model)
{
    static const char *const choices[][4] = {
        { "heads", NULL },
        { "image.top(1)", "text.top(1)", NULL },
        { "image.top(2)", "text.top(2)", NULL },
        { "image.embed", "text.embed", NULL },
        { "image.blocks[1]", "text.blocks[0]", NULL },
        { "*.ln_1.*", "*ln_final*", NULL },
        { "*.bias", NULL },
        { "*.mlp.c_fc.weight", "*.attn.in_proj_bias", NULL },
        { "*positional_embedding", "visual.ln_pre.bias", NULL },
        { "*.ln_2.*", "*ln_embed.bias", NULL },
        { "*.attn.out_proj.weight", "token_type_embedding.weight", NULL },
        { "logit_scale", NULL },
    };
    small_towers *s = small_open(model);

    for (th_tower tower = small_first(model); tower <= TH_TEXT_TOWER; tower++) {
        th_parameters_freeze_all(&s->p, true);
        backward(s, tower, false);
        double *whole = copy_gradients(s);
        for (size_t c = 0; c < sizeof choices / sizeof *choices; c++) {
            set_trainable(s, choices[c]);
            backward(s, tower, false);
            assert_gradients(s, tower, whole, 1);
            for (int row = 0; row < s->p.row_count; row++)
                for (int64_t i = 0; !s->p.rows[row].trainable && i < s->p.rows[row].count; i++)
                    th_assert_close(th_gradient(&s->p, row)[i], FROZEN_MARK, 0);
        }
        free(whole);
    }
    small_close(s);
}

static void frozen_rows_change_nothing_else(void **state)
{
    (void)state;
    for (size_t m = 0; m < SMALL_MODELS; m++)
        assert_frozen_rows_change_nothing_else(small_models[m]);
}

typedef struct {
    small_towers *s;
    int           groups[16], count, drives;
} told;

static void on_group(void *context, int group)
{
    told *t = context;
    t->groups[t->count++] = group;
}

static void on_drive(void *context)
{
    ((told *)context)->drives++;
}

static void hooks_hear_of_trainable_groups_from_the_top(void **state)
{
    (void)state;
    small_towers     *s = small_open(&small_model);
    told              t = { .s = s };
    th_backward_hooks hooks = { on_group, on_drive, &t };
    th_real           features[SAMPLES * 10];
    const char *const all[] = { "all", NULL }, *const some[] = { "image.blocks[1]", "heads", NULL };
    static const char *want_all[] = { "image.head", "image.blocks[2]", "image.blocks[1]",
                                      "image.blocks[0]", "image.embed" };

    set_trainable(s, all);
    small_pass(s, TH_IMAGE, 0, 2, s->d_features, false, &hooks, features);
    assert_int_equal(t.count, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(s->p.groups[t.groups[i]].name, want_all[i]);
    assert_true(t.drives >= 3 * 3);

    t.count = 0;
    set_trainable(s, some);
    small_pass(s, TH_IMAGE, 0, 2, s->d_features, false, &hooks, features);
    assert_int_equal(t.count, 2);
    assert_string_equal(s->p.groups[t.groups[0]].name, "image.head");
    assert_string_equal(s->p.groups[t.groups[1]].name, "image.blocks[1]");
    small_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_match_the_reference),
        cmocka_unit_test(image_gradients_match_differences),
        cmocka_unit_test(text_gradients_match_differences),
        cmocka_unit_test(bert_gradients_match_differences),
        cmocka_unit_test(text_gradients_are_those_of_padded_text),
        cmocka_unit_test(micro_batches_add_up_to_the_whole),
        cmocka_unit_test(frozen_rows_change_nothing_else),
        cmocka_unit_test(hooks_hear_of_trainable_groups_from_the_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
