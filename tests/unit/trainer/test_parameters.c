/* tests/unit/trainer/test_parameters.c - the table against open_clip's: names, shapes, counts,
 * first weights, decay, groups. */
#include "tests/test.h"

#include "trainer/parameters.h"

static const th_model_config vit_b_32 = {
    .image = { .size = 224, .patch = 32, .width = 768, .layers = 12, .heads = 12 },
    .text = { .context = 77, .vocabulary = 49408, .width = 512, .layers = 12, .heads = 8 },
    .embed = 512,
};
static const th_model_config small = {
    .image = { .size = 32, .patch = 8, .width = 128, .layers = 3, .heads = 2 },
    .text = { .context = 16, .vocabulary = 900, .width = 96, .layers = 2, .heads = 2 },
    .embed = 64,
};

// all-MiniLM-L6-v2, with sentences of up to 128 tokens.
static const th_model_config minilm = {
    .image = { .size = 32, .patch = 8, .width = 128, .layers = 3, .heads = 2 },
    .text = { .context = 128,
              .vocabulary = 30522,
              .width = 384,
              .layers = 6,
              .heads = 12,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_MEAN,
              .types = 2 },
    .embed = 384,
};

static void open(const th_model_config *model, th_parameters *p)
{
    th_err err = { 0 };
    th_assert_ok(th_parameters_open(model, p, &err), &err);
}

// 151,277,313 is what open_clip counts for ViT-B-32; the shapes are those of its state dict.
static void b32_is_open_clips(void **state)
{
    static const struct {
        const char *name;
        int         dimensions;
        int64_t     shape[4];
    } rows[] = {
        { "visual.class_embedding", 1, { 768 } },
        { "visual.positional_embedding", 2, { 50, 768 } },
        { "visual.proj", 2, { 768, 512 } },
        { "visual.conv1.weight", 4, { 768, 3, 32, 32 } },
        { "visual.ln_pre.weight", 1, { 768 } },
        { "visual.ln_pre.bias", 1, { 768 } },
        { "visual.transformer.resblocks.0.ln_1.weight", 1, { 768 } },
        { "visual.transformer.resblocks.11.attn.in_proj_weight", 2, { 2304, 768 } },
        { "visual.transformer.resblocks.11.attn.in_proj_bias", 1, { 2304 } },
        { "visual.transformer.resblocks.3.attn.out_proj.weight", 2, { 768, 768 } },
        { "visual.transformer.resblocks.3.attn.out_proj.bias", 1, { 768 } },
        { "visual.transformer.resblocks.3.ln_2.bias", 1, { 768 } },
        { "visual.transformer.resblocks.3.mlp.c_fc.weight", 2, { 3072, 768 } },
        { "visual.transformer.resblocks.3.mlp.c_fc.bias", 1, { 3072 } },
        { "visual.transformer.resblocks.3.mlp.c_proj.weight", 2, { 768, 3072 } },
        { "visual.transformer.resblocks.3.mlp.c_proj.bias", 1, { 768 } },
        { "visual.ln_post.weight", 1, { 768 } },
        { "token_embedding.weight", 2, { 49408, 512 } },
        { "positional_embedding", 2, { 77, 512 } },
        { "transformer.resblocks.11.mlp.c_proj.weight", 2, { 512, 2048 } },
        { "ln_final.weight", 1, { 512 } },
        { "text_projection", 2, { 512, 512 } },
        { "logit_scale", 0, { 0 } },
    };
    th_parameters p;
    int64_t       total = 0;

    (void)state;
    open(&vit_b_32, &p);
    for (int i = 0; i < p.row_count; i++)
        total += p.rows[i].count;
    assert_int_equal(total, 151277313);
    assert_int_equal(p.row_count, 302); // as many tensors as open_clip's state dict has
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int row = th_parameters_find(&p, rows[i].name);
        if (row < 0)
            fail_msg("no row %s", rows[i].name);
        assert_int_equal(p.rows[row].dimensions, rows[i].dimensions);
        for (int k = 0; k < rows[i].dimensions; k++)
            assert_int_equal(p.rows[row].shape[k], rows[i].shape[k]);
    }
    assert_int_equal(th_parameters_find(&p, "visual.transformer.resblocks.12.ln_1.weight"), -1);
    th_parameters_close(&p);
}

// BertModel of these sizes has 22,713,216 parameters; of its 512 positions 128 are here, its pooler
// [384, 384 + 1] is not, and the projection is new.
static void bert_tower_is_berts(void **state)
{
    static const struct {
        const char *name, *group;
        int64_t     shape[2];
    } rows[] = {
        { "token_embedding.weight", "text.embed", { 30522, 384 } },
        { "positional_embedding", "text.embed", { 128, 384 } },
        { "token_type_embedding.weight", "text.embed", { 2, 384 } },
        { "ln_embed.weight", "text.embed", { 384 } },
        { "ln_embed.bias", "text.embed", { 384 } },
        { "transformer.resblocks.0.ln_1.weight", "text.blocks[0]", { 384 } },
        { "transformer.resblocks.5.attn.in_proj_weight", "text.blocks[5]", { 1152, 384 } },
        { "transformer.resblocks.5.mlp.c_fc.weight", "text.blocks[5]", { 1536, 384 } },
        { "transformer.resblocks.5.mlp.c_proj.bias", "text.blocks[5]", { 384 } },
        { "text_projection", "text.head", { 384, 384 } },
    };
    th_parameters p;
    int64_t       total = 0;
    int           last_of_block = -1;

    (void)state;
    open(&minilm, &p);
    for (int i = 0; i < p.row_count; i++)
        total += p.rows[i].tower == TH_TEXT_TOWER ? p.rows[i].count : 0;
    assert_int_equal(total, 22713216 - (512 - 128) * 384 - 384 * (384 + 1) + 384 * 384);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int row = th_parameters_find(&p, rows[i].name);
        if (row < 0)
            fail_msg("no row %s", rows[i].name);
        assert_int_equal(p.rows[row].dimensions, rows[i].shape[1] ? 2 : 1);
        for (int k = 0; k < p.rows[row].dimensions; k++)
            assert_int_equal(p.rows[row].shape[k], rows[i].shape[k]);
        assert_string_equal(p.groups[p.rows[row].group].name, rows[i].group);
    }
    assert_int_equal(th_parameters_find(&p, "ln_final.weight"), -1);
    last_of_block = th_parameters_find(&p, "transformer.resblocks.5.mlp.c_proj.bias");
    assert_int_equal(th_parameters_find(&p, "text_projection"), last_of_block + 1);
    th_parameters_close(&p);
}

// Weights of ranks at a place of their own, on cache lines, in the order of the rows.
static void rows_stand_back_to_back_and_apart(void **state)
{
    th_parameters p;
    int64_t       end = 0;

    (void)state;
    open(&small, &p);
    for (int i = 0; i < p.row_count; i++) {
        assert_int_equal(p.rows[i].offset % 16, 0);
        assert_true(p.rows[i].offset >= end && p.rows[i].offset < end + 16);
        end = p.rows[i].offset + p.rows[i].count;
        for (int j = 0; j < i; j++)
            assert_string_not_equal(p.rows[i].name, p.rows[j].name);
    }
    assert_true(end <= p.elements && p.elements < end + 16);
    th_parameters_close(&p);
}

// Groups cut rows and elements without a gap; towers stand image, text, logit scale.
static void groups_are_contiguous(void **state)
{
    static const char *const names[] = { "image.embed",     "image.blocks[0]", "image.blocks[1]",
                                         "image.blocks[2]", "image.head",      "text.embed",
                                         "text.blocks[0]",  "text.blocks[1]",  "text.head",
                                         "logit_scale" };
    th_parameters            p;
    int                      row = 0;
    int64_t                  element = 0;

    (void)state;
    open(&small, &p);
    assert_int_equal(p.group_count, 10);
    for (int g = 0; g < p.group_count; g++) {
        const th_group *group = &p.groups[g];
        assert_string_equal(group->name, names[g]);
        assert_int_equal(group->first_row, row);
        assert_int_equal(group->first, element);
        for (int i = 0; i < group->row_count; i++) {
            assert_int_equal(p.rows[row + i].group, g);
            assert_int_equal(p.rows[row + i].tower, group->tower);
        }
        if (group->tower != TH_NO_TOWER)
            assert_int_equal(th_parameters_group(&p, group->tower, group->depth), g);
        row += group->row_count;
        element += group->count;
    }
    assert_int_equal(row, p.row_count);
    assert_int_equal(element, p.elements);
    // A norm goes with what stands before it.
    assert_int_equal(p.rows[th_parameters_find(&p, "visual.ln_pre.weight")].group, 0);
    assert_int_equal(p.rows[th_parameters_find(&p, "visual.ln_post.bias")].group, 3);
    assert_int_equal(p.rows[th_parameters_find(&p, "ln_final.weight")].group, 7);
    assert_int_equal(th_parameters_group(&p, TH_IMAGE, 5), -1);
    th_parameters_close(&p);
}

// open_clip decays what has two dimensions or more, but positions, class token and logit scale.
static void matrices_decay(void **state)
{
    th_parameters p;

    (void)state;
    open(&small, &p);
    for (int i = 0; i < p.row_count; i++) {
        bool positions = strstr(p.rows[i].name, "positional_embedding") != NULL;
        assert_int_equal(p.rows[i].decay, p.rows[i].dimensions >= 2 && !positions);
        assert_true(p.rows[i].trainable);
    }
    th_parameters_close(&p);
}

static void freezing_sets_rows_and_groups(void **state)
{
    th_parameters p;

    (void)state;
    open(&small, &p);
    th_parameters_freeze_all(&p, false);
    for (int i = 0; i < p.row_count; i++)
        assert_false(p.rows[i].trainable);
    for (int g = 0; g < p.group_count; g++)
        assert_false(p.groups[g].trainable);
    th_parameters_freeze_all(&p, true);
    assert_true(p.rows[3].trainable && p.groups[3].trainable);
    th_parameters_close(&p);
}

// Mean within 5 standard errors of 0, deviation within 5 of what open_clip draws with: for n draws
// the standard errors are s / sqrt(n), and s sqrt((kurtosis - 1) / 4n), at most s / sqrt(2n).
static void assert_moments(const th_parameters *p, const char *name, double deviation, bool uniform)
{
    int            row = th_parameters_find(p, name);
    const th_real *w = th_weight(p, row);
    double         n = (double)p->rows[row].count, sum = 0, squares = 0, largest = 0;

    for (int64_t j = 0; j < p->rows[row].count; j++) {
        sum += (double)w[j];
        squares += (double)w[j] * (double)w[j];
        largest = fmax(largest, fabs((double)w[j]));
    }
    if (!(fabs(sum / n) <= 5 * deviation / sqrt(n)) ||
        !(fabs(sqrt(squares / n) - deviation) <= 5 * deviation / sqrt(2 * n)))
        fail_msg("%s: mean %g, deviation %g, want 0 and %g", name, sum / n, sqrt(squares / n),
                 deviation);
    // A uniform draw stays inside of sqrt(3) deviations and comes near; a normal one goes beyond.
    double side = sqrt(3) * deviation;
    if (uniform ? !(largest <= side * 1.0000001 && largest >= 0.98 * side)
                : !(largest > 1.2 * side))
        fail_msg("%s: largest %g where a uniform draw ends at %g", name, largest, side);
}

// open_clip 2.x: VisionTransformer leaves torch's defaults in its blocks (Xavier-uniform in_proj,
// kaiming-uniform linear layers: U(+-1/sqrt(inputs))), CLIP.init_parameters the text deviations.
static void first_weights_are_open_clips(void **state)
{
    double        w = 128, t = 96, proj = 1 / sqrt(t) / sqrt(2 * 2), root3 = sqrt(3);
    th_parameters p;

    (void)state;
    open(&small, &p);
    th_parameters_init(&p, 1);
    assert_moments(&p, "visual.conv1.weight", 1 / sqrt(3 * 8 * 8) / root3, true);
    assert_moments(&p, "visual.positional_embedding", 1 / sqrt(w), false);
    assert_moments(&p, "visual.proj", 1 / sqrt(w), false);
    assert_moments(&p, "visual.transformer.resblocks.1.attn.in_proj_weight",
                   sqrt(6 / (4 * w)) / root3, true);
    assert_moments(&p, "visual.transformer.resblocks.1.attn.out_proj.weight", 1 / sqrt(w) / root3,
                   true);
    assert_moments(&p, "visual.transformer.resblocks.1.mlp.c_fc.weight", 1 / sqrt(w) / root3, true);
    assert_moments(&p, "visual.transformer.resblocks.1.mlp.c_proj.weight", 1 / sqrt(4 * w) / root3,
                   true);
    assert_moments(&p, "visual.transformer.resblocks.2.mlp.c_fc.bias", 1 / sqrt(w) / root3, true);
    assert_moments(&p, "token_embedding.weight", 0.02, false);
    assert_moments(&p, "positional_embedding", 0.01, false);
    assert_moments(&p, "transformer.resblocks.1.attn.in_proj_weight", 1 / sqrt(t), false);
    assert_moments(&p, "transformer.resblocks.1.attn.out_proj.weight", proj, false);
    assert_moments(&p, "transformer.resblocks.1.mlp.c_fc.weight", 1 / sqrt(2 * t), false);
    assert_moments(&p, "transformer.resblocks.1.mlp.c_proj.weight", proj, false);
    assert_moments(&p, "text_projection", 1 / sqrt(t), false);
    th_assert_close((double)*th_weight(&p, p.logit_scale), log(1 / 0.07), 1e-6);
    const th_real *gain = th_weight(&p, th_parameters_find(&p, "visual.ln_pre.weight"));
    const th_real *bias = th_weight(&p, th_parameters_find(&p, "ln_final.bias"));
    for (int j = 0; j < 96; j++)
        assert_true(gain[j] == 1 && bias[j] == 0);
    th_parameters_close(&p);
}

// BertPreTrainedModel: normal with 0.02, biases zero, norms one. The projection is ours.
static void first_weights_of_bert_are_berts(void **state)
{
    th_parameters   p;
    th_model_config model = minilm;

    (void)state;
    model.text.vocabulary = 500, model.text.layers = 3;
    open(&model, &p);
    th_parameters_init(&p, 1);
    assert_moments(&p, "token_embedding.weight", 0.02, false);
    assert_moments(&p, "positional_embedding", 0.02, false);
    assert_moments(&p, "token_type_embedding.weight", 0.02, false);
    assert_moments(&p, "transformer.resblocks.2.attn.in_proj_weight", 0.02, false);
    assert_moments(&p, "transformer.resblocks.2.mlp.c_proj.weight", 0.02, false);
    for (int row = 0; row < p.row_count; row++)
        for (int64_t j = 0; p.rows[row].tower == TH_TEXT_TOWER && p.rows[row].dimensions == 1 &&
                            j < p.rows[row].count;
             j++)
            assert_true(th_weight(&p, row)[j] == (strstr(p.rows[row].name, "weight") ? 1 : 0));
    const th_real *projection = th_weight(&p, th_parameters_find(&p, "text_projection"));
    for (int64_t j = 0; j < 384 * 384; j++)
        assert_true(projection[j] == (j / 384 == j % 384));
    assert_false(p.rows[th_parameters_find(&p, "token_type_embedding.weight")].decay);
    th_parameters_close(&p);

    model.embed = 256;
    open(&model, &p);
    th_parameters_init(&p, 1);
    assert_moments(&p, "text_projection", 1 / sqrt(384.0), false);
    th_parameters_close(&p);
}

// Two scalars behind the towers, the second for the sigmoid loss alone; open_clip's names and
// SigLIP's first values.
static void the_sigmoid_loss_has_a_bias(void **state)
{
    th_model_config sigmoid = small;
    th_parameters   p;

    (void)state;
    open(&small, &p);
    assert_int_equal(p.logit_scale, th_parameters_find(&p, "logit_scale"));
    assert_int_equal(p.logit_bias, -1);
    assert_int_equal(th_parameters_find(&p, "logit_bias"), -1);
    th_parameters_close(&p);

    sigmoid.logit_bias = true;
    open(&sigmoid, &p);
    th_parameters_init(&p, 1);
    assert_int_equal(p.logit_scale, th_parameters_find(&p, "logit_scale"));
    assert_int_equal(p.logit_bias, th_parameters_find(&p, "logit_bias"));
    th_assert_close((double)*th_weight(&p, p.logit_scale), log(10), 1e-6);
    th_assert_close((double)*th_weight(&p, p.logit_bias), -10, 0);
    assert_false(p.rows[p.logit_bias].decay);
    assert_int_equal(p.rows[p.logit_bias].tower, TH_NO_TOWER);
    assert_string_equal(p.groups[p.rows[p.logit_bias].group].name, "logit_bias");
    th_parameters_close(&p);
}

static void first_weights_depend_on_the_seed_alone(void **state)
{
    th_parameters p[3];
    uint64_t      seeds[3] = { 7, 7, 8 };
    size_t        bytes;

    (void)state;
    for (int i = 0; i < 3; i++) {
        open(&small, &p[i]);
        th_parameters_init(&p[i], seeds[i]);
    }
    bytes = (size_t)p[0].elements * sizeof(th_real);
    assert_memory_equal(p[0].weight, p[1].weight, bytes);
    assert_memory_not_equal(p[0].weight, p[2].weight, bytes);
    for (int i = 0; i < 3; i++)
        th_parameters_close(&p[i]);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    th_parameters   p;
    th_err          err = { 0 };
    th_model_config model;

    (void)state;
    model = small, model.image.heads = 3;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err,
                    "model.image.heads must divide model.image.width: 3 does not divide 128");
    model = small, model.image.patch = 7;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err,
                    "model.image.patch must divide model.image.size: 7 does not divide 32");
    model = small, model.text.layers = 0;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "model.text.layers");
    model = small, model.text.context = 2;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "model.text.context");
    model = small, model.text.vocabulary = 2000000;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "vocabulary");
    model = small, model.embed = 0;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "model.embed");
    model = small, model.text.pool = TH_POOL_MEAN;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err,
                    "model.text.pool cannot be set with model.text.kind clip");
    model = minilm, model.text.pool = TH_POOL_END;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err,
                    "a BERT text tower does not pool the last token");
    model = minilm, model.text.types = 0;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "no 0 token types");
    model = small, model.image.width = 1 << 20;
    th_assert_error(th_parameters_open(&model, &p, &err), TH_EUSAGE, &err, "model.image.width");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b32_is_open_clips),
        cmocka_unit_test(bert_tower_is_berts),
        cmocka_unit_test(rows_stand_back_to_back_and_apart),
        cmocka_unit_test(groups_are_contiguous),
        cmocka_unit_test(matrices_decay),
        cmocka_unit_test(freezing_sets_rows_and_groups),
        cmocka_unit_test(first_weights_are_open_clips),
        cmocka_unit_test(first_weights_of_bert_are_berts),
        cmocka_unit_test(the_sigmoid_loss_has_a_bias),
        cmocka_unit_test(first_weights_depend_on_the_seed_alone),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
