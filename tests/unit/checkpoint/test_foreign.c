// tests/unit/checkpoint/test_foreign.c - weights under other programs' names: what is read is what
// was written, bit for bit, through open_clip's names and Hugging Face's and back; configs, and
// what thaw's towers are not.
#include "base/file.h"
#include "checkpoint/interchange/foreign_write.h"
#include "tests/test.h"

#include <limits.h>

#define MOST_ROWS 64
#define NAME      TH_TENSOR_NAME

// A CLIP of two blocks a tower, 128 and 64 wide, with numbers of every kind.
typedef struct {
    th_tensor rows[MOST_ROWS];
    char      names[MOST_ROWS][NAME];
    int       count;
} clip;

static void add(clip *c, const char *prefix, const char *name, int dimensions, int64_t a, int64_t b,
                int64_t n)
{
    th_tensor *row = &c->rows[c->count];
    int64_t    elements = 1;

    assert_true(c->count < MOST_ROWS);
    (void)snprintf(c->names[c->count], NAME, "%s%s", prefix, name);
    *row = (th_tensor){ c->names[c->count], dimensions, { a, b, n, n }, NULL };
    for (int d = dimensions; d < TH_TENSOR_DIMENSIONS; d++)
        row->shape[d] = 0;
    for (int d = 0; d < dimensions; d++)
        elements *= row->shape[d];
    row->data = malloc((size_t)elements * sizeof *row->data);
    assert_non_null(row->data);
    for (int64_t i = 0; i < elements; i++) // no two alike that lie near each other
        row->data[i] =
            (float)(int32_t)((uint32_t)(i + 1000003 * c->count) * 2654435761u) * 0x1p-31f;
    c->count++;
}

static void add_block(clip *c, const char *tower, int i, int64_t w)
{
    char prefix[64];

    (void)snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower, i);
    add(c, prefix, "ln_1.weight", 1, w, 0, 0);
    add(c, prefix, "ln_1.bias", 1, w, 0, 0);
    add(c, prefix, "attn.in_proj_weight", 2, 3 * w, w, 0);
    add(c, prefix, "attn.in_proj_bias", 1, 3 * w, 0, 0);
    add(c, prefix, "attn.out_proj.weight", 2, w, w, 0);
    add(c, prefix, "attn.out_proj.bias", 1, w, 0, 0);
    add(c, prefix, "ln_2.weight", 1, w, 0, 0);
    add(c, prefix, "ln_2.bias", 1, w, 0, 0);
    add(c, prefix, "mlp.c_fc.weight", 2, 4 * w, w, 0);
    add(c, prefix, "mlp.c_fc.bias", 1, 4 * w, 0, 0);
    add(c, prefix, "mlp.c_proj.weight", 2, w, 4 * w, 0);
    add(c, prefix, "mlp.c_proj.bias", 1, w, 0, 0);
}

static void make(clip *c)
{
    *c = (clip){ 0 };
    add(c, "", "visual.conv1.weight", 4, 128, 3, 8);
    add(c, "", "visual.class_embedding", 1, 128, 0, 0);
    add(c, "", "visual.positional_embedding", 2, 10, 128, 0);
    add(c, "", "visual.ln_pre.weight", 1, 128, 0, 0);
    add(c, "", "visual.ln_pre.bias", 1, 128, 0, 0);
    for (int i = 0; i < 2; i++)
        add_block(c, "visual.", i, 128);
    add(c, "", "visual.ln_post.weight", 1, 128, 0, 0);
    add(c, "", "visual.ln_post.bias", 1, 128, 0, 0);
    add(c, "", "visual.proj", 2, 128, 32, 0);
    add(c, "", "token_embedding.weight", 2, 50, 64, 0);
    add(c, "", "positional_embedding", 2, 12, 64, 0);
    add_block(c, "", 0, 64);
    add(c, "", "ln_final.weight", 1, 64, 0, 0);
    add(c, "", "ln_final.bias", 1, 64, 0, 0);
    add(c, "", "text_projection", 2, 64, 32, 0);
    add(c, "", "logit_scale", 0, 0, 0, 0);
}

static void drop(clip *c)
{
    for (int i = 0; i < c->count; i++)
        free(c->rows[i].data);
}

static th_tensor *row_of(clip *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->rows[i].name, name) == 0)
            return &c->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static size_t bytes_of(const th_tensor *row)
{
    size_t bytes = sizeof *row->data;

    for (int d = 0; d < row->dimensions; d++)
        bytes *= (size_t)row->shape[d];
    return bytes;
}

// Reads every row from `foreign` and compares it with c's.
static void expect_rows(th_foreign *foreign, const clip *c)
{
    th_err err = { 0 };

    for (int i = 0; i < c->count; i++) {
        th_tensor wanted = c->rows[i];
        wanted.data = malloc(bytes_of(&wanted));
        assert_non_null(wanted.data);
        th_assert_ok(th_foreign_load(foreign, &wanted, &err), &err);
        assert_memory_equal(wanted.data, c->rows[i].data, bytes_of(&wanted));
        free(wanted.data);
    }
}

static void put(const char *folder, const char *name, const char *text)
{
    char   path[PATH_MAX];
    th_err err = { 0 };

    th_test_path(path, sizeof path, folder, name);
    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
}

static void put_weights(const char *folder, const char *name, th_format format, const clip *c)
{
    char        path[PATH_MAX];
    const char *left_out;
    th_err      err = { 0 };

    th_test_path(path, sizeof path, folder, name);
    th_assert_ok(th_foreign_write(path, format, c->rows, c->count, &left_out, &err), &err);
    assert_null(left_out);
}

static void a_model_goes_round_without_a_changed_bit(void **state)
{
    static const th_format formats[] = { TH_OPEN_CLIP, TH_HUGGING_FACE, TH_OPEN_CLIP };
    const char *names[] = { "open_clip_model.safetensors", "model.safetensors", "again" };
    char        path[PATH_MAX], first[PATH_MAX];
    th_foreign *foreign;
    clip        c;
    th_err      err = { 0 };
    char       *texts[2];
    size_t      size[2];

    make(&c);
    for (int i = 0; i < 3; i++) {
        put_weights(*state, names[i], formats[i], &c);
        th_test_path(path, sizeof path, *state, names[i]);
        th_assert_ok(th_foreign_open(path, &foreign, &err), &err);
        assert_int_equal(th_foreign_describe(foreign)->format, formats[i]);
        expect_rows(foreign, &c);
        assert_int_equal(th_foreign_unread(foreign, NULL, 0), 0);
        th_foreign_close(foreign);
    }
    // The files of the first and the last turn are the same bytes.
    th_test_path(first, sizeof first, *state, names[0]);
    th_assert_ok(th_file_read(first, 64 << 20, &texts[0], &size[0], &err), &err);
    th_assert_ok(th_file_read(path, 64 << 20, &texts[1], &size[1], &err), &err);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(texts[0], texts[1], size[0]);
    free(texts[0]);
    free(texts[1]);
    drop(&c);
}

// The names themselves, against a few written down from modeling_clip.py: the round trip above
// would not see one that is wrong both ways.
static void hugging_face_names_are_its_own(void **state)
{
    static const char *const rows[][2] = {
        { "visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight" },
        { "visual.class_embedding", "vision_model.embeddings.class_embedding" },
        { "visual.positional_embedding", "vision_model.embeddings.position_embedding.weight" },
        { "visual.ln_pre.bias", "vision_model.pre_layrnorm.bias" },
        { "visual.ln_post.weight", "vision_model.post_layernorm.weight" },
        { "visual.proj", "visual_projection.weight" },
        { "visual.transformer.resblocks.11.ln_2.bias",
          "vision_model.encoder.layers.11.layer_norm2.bias" },
        { "visual.transformer.resblocks.3.attn.in_proj_weight",
          "vision_model.encoder.layers.3.self_attn.q_proj.weight" },
        { "token_embedding.weight", "text_model.embeddings.token_embedding.weight" },
        { "positional_embedding", "text_model.embeddings.position_embedding.weight" },
        { "transformer.resblocks.0.attn.out_proj.weight",
          "text_model.encoder.layers.0.self_attn.out_proj.weight" },
        { "transformer.resblocks.0.mlp.c_fc.bias", "text_model.encoder.layers.0.mlp.fc1.bias" },
        { "transformer.resblocks.0.mlp.c_proj.weight",
          "text_model.encoder.layers.0.mlp.fc2.weight" },
        { "ln_final.weight", "text_model.final_layer_norm.weight" },
        { "text_projection", "text_projection.weight" },
        { "logit_scale", "logit_scale" },
    };
    th_name_parts parts;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(th_names_of(TH_HUGGING_FACE, rows[i][0], &parts));
        assert_string_equal(parts.names[0], rows[i][1]);
        assert_int_equal(parts.transposed, strstr(rows[i][0], "proj") &&
                                               !strstr(rows[i][0], "_proj.") &&
                                               !strstr(rows[i][0], "in_proj"));
    }
    assert_true(th_names_of(TH_HUGGING_FACE, "transformer.resblocks.7.attn.in_proj_bias", &parts));
    assert_int_equal(parts.count, 3);
    assert_string_equal(parts.names[1], "text_model.encoder.layers.7.self_attn.k_proj.bias");
    assert_string_equal(parts.names[2], "text_model.encoder.layers.7.self_attn.v_proj.bias");
    assert_false(th_names_of(TH_HUGGING_FACE, "logit_bias", &parts));
    assert_false(th_names_of(TH_HUGGING_FACE, "transformer.resblocks..ln_1.bias", &parts));
}

// A sentence encoder of two blocks, as BertModel saves it; rows are in c.
static void make_bert(clip *c)
{
    *c = (clip){ 0 };
    add(c, "", "token_embedding.weight", 2, 50, 64, 0);
    add(c, "", "positional_embedding", 2, 40, 64, 0);
    add(c, "", "token_type_embedding.weight", 2, 2, 64, 0);
    add(c, "", "ln_embed.weight", 1, 64, 0, 0);
    add(c, "", "ln_embed.bias", 1, 64, 0, 0);
    for (int i = 0; i < 2; i++)
        add_block(c, "", i, 64);
}

#define BERT(more)                                                                                 \
    "{\"model_type\":\"bert\",\"hidden_size\":64,\"intermediate_size\":256,\"num_hidden_layers\":" \
    "2,"                                                                                           \
    "\"num_attention_heads\":4,\"vocab_size\":50,\"max_position_embeddings\":40" more "}"

static void bert_names_are_its_own(void **state)
{
    static const char *const rows[][4] = {
        { "token_embedding.weight", "embeddings.word_embeddings.weight" },
        { "positional_embedding", "embeddings.position_embeddings.weight" },
        { "token_type_embedding.weight", "embeddings.token_type_embeddings.weight" },
        { "ln_embed.bias", "embeddings.LayerNorm.bias" },
        { "transformer.resblocks.1.ln_1.bias", "encoder.layer.1.attention.output.LayerNorm.bias" },
        { "transformer.resblocks.1.ln_2.weight", "encoder.layer.1.output.LayerNorm.weight" },
        { "transformer.resblocks.1.attn.in_proj_weight",
          "encoder.layer.1.attention.self.query.weight",
          "encoder.layer.1.attention.self.key.weight",
          "encoder.layer.1.attention.self.value.weight" },
        { "transformer.resblocks.1.attn.out_proj.bias",
          "encoder.layer.1.attention.output.dense.bias" },
        { "transformer.resblocks.1.mlp.c_fc.weight", "encoder.layer.1.intermediate.dense.weight" },
        { "transformer.resblocks.1.mlp.c_proj.bias", "encoder.layer.1.output.dense.bias" },
    };
    th_name_parts parts;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(th_names_of(TH_BERT, rows[i][0], &parts));
        for (int k = 0; k < parts.count; k++)
            assert_string_equal(parts.names[k], rows[i][1 + k]);
        assert_true(parts.count == 3 || !rows[i][2]);
    }
    assert_false(th_names_of(TH_BERT, "text_projection", &parts));
}

static void a_sentence_encoder_is_a_text_tower(void **state)
{
    static const char *const prefixes[] = { "", "bert.", "0.auto_model." };
    static char              names[3 * MOST_ROWS][TH_SAFETENSORS_NAME];
    char                     path[PATH_MAX], pooling[PATH_MAX];
    th_tensor                renamed[3 * MOST_ROWS];
    th_safetensors          *file;
    th_foreign              *foreign;
    float                    pooler = 0;
    clip                     c;
    th_err                   err = { 0 };

    make_bert(&c);
    th_test_path(path, sizeof path, *state, "model.safetensors");
    th_test_path(pooling, sizeof pooling, *state, "1_Pooling");
    put_weights(*state, "model.safetensors", TH_BERT, &c);
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "without a config");
    put(*state, "config.json", BERT(",\"hidden_dropout_prob\":0.1"));
    for (int p = 0; p < 3; p++) {
        put_weights(*state, "model.safetensors", TH_BERT, &c);
        th_assert_ok(th_safetensors_open(path, &file, &err), &err);
        const th_safetensors_index *list = th_safetensors_list(file);
        int                         count = list->count;
        for (int i = 0; i < count; i++) { // the same tensors under another prefix
            const th_stored_tensor *stored = &list->tensors[i];
            renamed[i] = (th_tensor){ names[i], stored->dimensions, { 0 }, NULL };
            memcpy(renamed[i].shape, stored->shape, sizeof renamed[i].shape);
            (void)snprintf(names[i], sizeof names[i], "%s%s", prefixes[p], stored->name);
            renamed[i].data = malloc(bytes_of(&renamed[i]));
            assert_non_null(renamed[i].data);
            th_assert_ok(th_safetensors_read(file, stored, renamed[i].data, &err), &err);
        }
        th_safetensors_close(file);
        (void)snprintf(names[count], sizeof *names, "%spooler.dense.bias", prefixes[p]);
        renamed[count] = (th_tensor){ names[count], 0, { 0 }, &pooler };
        th_assert_ok(th_safetensors_write(path, renamed, count + 1, &err), &err);
        th_assert_ok(th_foreign_open(*state, &foreign, &err), &err);
        const th_foreign_model *m = th_foreign_describe(foreign);
        assert_true(m->text.present && m->text.bert && !m->image.present);
        assert_int_equal(m->text.mean, p > 0);
        assert_int_equal(m->text.heads, 4);
        assert_int_equal(m->text.layers, 2);
        assert_int_equal(m->text.types, 2);
        assert_int_equal(m->text.context, 40);
        assert_int_equal(m->embed, 0);
        expect_rows(foreign, &c);
        assert_int_equal(th_foreign_unread(foreign, NULL, 0), 0);
        th_foreign_close(foreign);
        for (int i = 0; i < count; i++)
            free(renamed[i].data);
        th_assert_ok(th_folder_make(pooling, &err), &err);
        put(pooling, "config.json",
            "{\"word_embedding_dimension\":64,\"pooling_mode_cls_token\":false,"
            "\"pooling_mode_mean_tokens\":true,\"pooling_mode_max_tokens\":false}");
    }
    put(pooling, "config.json", "{\"pooling_mode_max_tokens\":true}");
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err,
                    "1_Pooling.pooling_mode_max_tokens is true");
    put(*state, "config.json", "{\"model_type\":\"roberta\"}");
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "\"roberta\"");
    put(*state, "config.json", BERT(",\"hidden_act\":\"relu\""));
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "\"relu\"");
    put(*state, "config.json", BERT(",\"position_embedding_type\":\"relative_key\""));
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "relative_key");
    put(pooling, "config.json", "{}");
    put(*state, "config.json", BERT(",\"type_vocab_size\":1"));
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EDATA, &err, "token types 1");
    drop(&c);
}

static void a_projection_lies_on_its_side(void **state)
{
    char            path[PATH_MAX];
    clip            c;
    th_safetensors *file;
    float           side[32 * 128];
    th_err          err = { 0 };

    make(&c);
    put_weights(*state, "model.safetensors", TH_HUGGING_FACE, &c);
    th_test_path(path, sizeof path, *state, "model.safetensors");
    th_assert_ok(th_safetensors_open(path, &file, &err), &err);
    const th_safetensors_index *list = th_safetensors_list(file);
    const th_tensor            *proj = row_of(&c, "visual.proj");
    int                         seen = 0;
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->tensors[i].name, "visual_projection.weight") != 0)
            continue;
        seen++;
        assert_int_equal(list->tensors[i].shape[0], 32);
        assert_int_equal(list->tensors[i].shape[1], 128);
        th_assert_ok(th_safetensors_read(file, &list->tensors[i], side, &err), &err);
        for (int k = 0; k < 32; k++)
            for (int j = 0; j < 128; j++)
                assert_memory_equal(&side[k * 128 + j], &proj->data[j * 32 + k], sizeof *side);
    }
    assert_int_equal(seen, 1);
    th_safetensors_close(file);
    drop(&c);
}

// As torch.compile, DistributedDataParallel and CustomTextCLIP put them.
static void prefixes_are_taken_off(void **state)
{
    static const char *const prefixes[] = { "module.", "_orig_mod.", "_orig_mod.module." };
    static char              names[MOST_ROWS][TH_SAFETENSORS_NAME];
    char                     path[PATH_MAX];
    th_tensor                renamed[MOST_ROWS + 1];
    th_foreign              *foreign;
    clip                     c;
    const char              *unread[2];
    float                    mask = 0;
    th_err                   err = { 0 };

    make(&c);
    th_test_path(path, sizeof path, *state, "x.safetensors");
    for (int p = 0; p < 6; p++) {
        bool custom = p >= 3;
        for (int i = 0; i < c.count; i++) {
            const char *name = c.rows[i].name;
            bool        text = strncmp(name, "visual.", 7) != 0 && strcmp(name, "logit_scale") != 0;
            renamed[i] = c.rows[i];
            renamed[i].name = names[i];
            (void)snprintf(names[i], sizeof names[i], "%s%s%s", prefixes[p % 3],
                           custom && text ? "text." : "", name);
        }
        renamed[c.count] =
            (th_tensor){ custom ? "module.text.attn_mask" : "stray", 0, { 0 }, &mask };
        th_assert_ok(th_safetensors_write(path, renamed, c.count + 1, &err), &err);
        th_assert_ok(th_foreign_open(path, &foreign, &err), &err);
        expect_rows(foreign, &c);
        assert_int_equal(th_foreign_unread(foreign, unread, 2), custom ? 0 : 1);
        if (!custom)
            assert_string_equal(unread[0], "stray");
        th_foreign_close(foreign);
    }
    drop(&c);
}

static void sizes_are_those_of_the_tensors(void **state)
{
    th_foreign *foreign;
    clip        c;
    th_err      err = { 0 };

    make(&c);
    put_weights(*state, "any.safetensors", TH_OPEN_CLIP, &c);
    th_assert_ok(th_foreign_open(*state, &foreign, &err), &err); // the only one in its folder
    const th_foreign_model *m = th_foreign_describe(foreign);
    assert_true(m->image.present && m->text.present && !m->configured && !m->quick_gelu);
    assert_int_equal(m->image.size, 24);
    assert_int_equal(m->image.patch, 8);
    assert_int_equal(m->image.width, 128);
    assert_int_equal(m->image.layers, 2);
    assert_int_equal(m->image.heads, 2);
    assert_int_equal(m->text.context, 12);
    assert_int_equal(m->text.vocabulary, 50);
    assert_int_equal(m->text.width, 64);
    assert_int_equal(m->text.layers, 1);
    assert_int_equal(m->text.heads, 1);
    assert_int_equal(m->embed, 32);
    th_foreign_close(foreign);
    drop(&c);
}

static const th_foreign_model written = {
    .format = TH_OPEN_CLIP,
    .image = { true, 24, 8, 128, 2, 4 },
    .text = { true, 12, 50, 64, 1, 8 },
    .embed = 32,
    .quick_gelu = true,
    .has_pixels = true,
    .mean = { 0.48145466, 0.4578275, 0.40821073 },
    .deviation = { 0.26862954, 0.26130258, 0.27577711 },
};

static void a_written_config_says_the_same_again(void **state)
{
    th_foreign_tokenizer tokenizer = { true, 48, 49 };
    char                 path[PATH_MAX];
    clip                 c;
    th_err               err = { 0 };

    make(&c);
    for (int i = 0; i < 2; i++) {
        th_foreign      *foreign;
        th_foreign_model model = written;
        model.format = i ? TH_HUGGING_FACE : TH_OPEN_CLIP;
        model.quick_gelu = i == 0;
        put_weights(*state, i ? "model.safetensors" : "open_clip_model.safetensors", model.format,
                    &c);
        th_assert_ok(th_foreign_config_write(*state, &model, &tokenizer, false, &err), &err);
        th_test_path(path, sizeof path, *state, "open_clip_model.safetensors");
        if (i) // both are there now, and open_clip's would be taken
            assert_int_equal(remove(path), 0);
        th_assert_ok(th_foreign_open(*state, &foreign, &err), &err);
        const th_foreign_model *m = th_foreign_describe(foreign);
        assert_true(m->configured && m->has_pixels);
        assert_int_equal(m->format, model.format);
        assert_int_equal(m->quick_gelu, model.quick_gelu);
        assert_int_equal(m->image.heads, 4); // which no shape tells
        assert_int_equal(m->text.heads, 8);
        assert_memory_equal(m->mean, model.mean, sizeof model.mean);
        assert_memory_equal(m->deviation, model.deviation, sizeof model.deviation);
        th_foreign_close(foreign);
    }
    drop(&c);
}

#define OPEN_CLIP(vision, text, model)                                                             \
    "{\"model_cfg\":{\"embed_dim\":32,\"vision_cfg\":{\"image_size\":24,\"layers\":2,\"width\":"   \
    "128,"                                                                                         \
    "\"patch_size\":8" vision                                                                      \
    "},\"text_cfg\":{\"context_length\":12,\"vocab_size\":50,\"width\":64,"                        \
    "\"heads\":1,\"layers\":1" text "}" model "}}"
#define CLIP(vision, text, model)                                                                  \
    "{\"model_type\":\"clip\",\"projection_dim\":32,\"vision_config\":{\"image_size\":24,"         \
    "\"num_hidden_layers\":2,\"hidden_size\":128,\"intermediate_size\":512,\"patch_size\":8,"      \
    "\"num_attention_heads\":2" vision "},\"text_config\":{\"max_position_embeddings\":12,"        \
    "\"vocab_size\":50,\"hidden_size\":64,\"intermediate_size\":256,\"num_attention_heads\":1,"    \
    "\"num_hidden_layers\":1" text "}" model "}"

static const struct config_case {
    const char *name, *json;
    th_format   format;
    th_code     code;
    const char *words;
} configs[] = {
    { "open_clip_plain", OPEN_CLIP("", "", ""), TH_OPEN_CLIP, TH_OK, NULL },
    { "open_clip_fields_that_do_not_matter",
      OPEN_CLIP(",\"patch_dropout\":0.5,\"attentional_pool\":false,\"ls_init_value\":null",
                ",\"hf_tokenizer_name\":\"x\",\"proj_bias\":false,\"pool_type\":\"argmax\"",
                ",\"custom_text\":true,\"init_logit_bias\":-10,\"quick_gelu\":false"),
      TH_OPEN_CLIP, TH_OK, NULL },
    { "open_clip_pool_eos", OPEN_CLIP("", ",\"pool_type\":\"eos\",\"eos_id\":1", ""), TH_OPEN_CLIP,
      TH_OK, NULL },
    { "open_clip_mlp_ratio", OPEN_CLIP(",\"mlp_ratio\":4.3637", "", ""), TH_OPEN_CLIP, TH_EUSAGE,
      "vision_cfg.mlp_ratio is 4.3637" },
    { "open_clip_attentional_pool", OPEN_CLIP(",\"attentional_pool\":true", "", ""), TH_OPEN_CLIP,
      TH_EUSAGE, "vision_cfg.attentional_pool is true" },
    { "open_clip_no_ln_pre", OPEN_CLIP(",\"no_ln_pre\":true", "", ""), TH_OPEN_CLIP, TH_EUSAGE,
      "no_ln_pre" },
    { "open_clip_timm", OPEN_CLIP(",\"timm_model_name\":\"vit\"", "", ""), TH_OPEN_CLIP, TH_EUSAGE,
      "timm_model_name" },
    { "open_clip_pool_type", OPEN_CLIP("", ",\"pool_type\":\"last\"", ""), TH_OPEN_CLIP, TH_EUSAGE,
      "text_cfg.pool_type is \"last\"" },
    { "open_clip_hf_text", OPEN_CLIP("", ",\"hf_model_name\":\"roberta-base\"", ""), TH_OPEN_CLIP,
      TH_EUSAGE, "hf_model_name" },
    { "open_clip_unknown_field", OPEN_CLIP("", "", ",\"multimodal_cfg\":{\"width\":1}"),
      TH_OPEN_CLIP, TH_EUSAGE, "multimodal_cfg" },
    { "open_clip_other_sizes",
      "{\"embed_dim\":32,\"vision_cfg\":{\"layers\":3,\"width\":128,\"patch_size\":8},"
      "\"text_cfg\":{}}",
      TH_OPEN_CLIP, TH_EDATA, "the config says image layers 3, and the tensors 2" },
    { "open_clip_no_json", "{\"model_cfg\":", TH_OPEN_CLIP, TH_EDATA, "no JSON" },
    { "open_clip_empty", "{}", TH_OPEN_CLIP, TH_EDATA, "no object \"vision_cfg\"" },
    { "hf_plain", CLIP("", "", ""), TH_HUGGING_FACE, TH_OK, NULL },
    { "hf_fields_that_do_not_matter",
      CLIP(",\"top_k\":50,\"dropout\":0.0", ",\"bos_token_id\":0",
           ",\"logit_scale_init_value\":2.6592"),
      TH_HUGGING_FACE, TH_OK, NULL },
    { "hf_activation", CLIP(",\"hidden_act\":\"gelu_new\"", "", ""), TH_HUGGING_FACE, TH_EUSAGE,
      "hidden_act is \"gelu_new\"" },
    { "hf_two_activations", CLIP(",\"hidden_act\":\"gelu\"", "", ""), TH_HUGGING_FACE, TH_EUSAGE,
      "the other tower's is not" },
    { "hf_eps", CLIP("", ",\"layer_norm_eps\":1e-6", ""), TH_HUGGING_FACE, TH_EUSAGE,
      "text_config.layer_norm_eps is 1e-" },
    { "hf_siglip", "{\"model_type\":\"siglip\"}", TH_HUGGING_FACE, TH_EUSAGE, "\"siglip\"" },
    { "hf_old_dict_counts_alone", CLIP("", "", ",\"text_config_dict\":{\"vocab_size\":51}"),
      TH_HUGGING_FACE, TH_EDATA, "text width 512, and the tensors 64" },
    { "hf_intermediate_size",
      "{\"model_type\":\"clip\",\"vision_config\":{\"intermediate_size\":7}}", TH_HUGGING_FACE,
      TH_EUSAGE, "intermediate_size is 7" },
};

static void config_is_read(void **state)
{
    const struct config_case *t = *state;
    char                      folder[] = TH_TEST_BUILD "/config-XXXXXX";
    th_foreign               *foreign = NULL;
    clip                      c;
    th_err                    err = { 0 };

    assert_non_null(mkdtemp(folder));
    make(&c);
    put_weights(folder, "model.safetensors", t->format, &c);
    put(folder, t->format == TH_OPEN_CLIP ? "open_clip_config.json" : "config.json", t->json);
    th_code rc = th_foreign_open(folder, &foreign, &err);
    if (t->code == TH_OK)
        th_assert_ok(rc, &err);
    else
        th_assert_error(rc, t->code, &err, t->words);
    th_foreign_close(foreign);
    drop(&c);
    assert_int_equal(nftw(folder, th_test_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

// Models whose tensors give away that thaw's towers are not theirs, without a config.
static void other_towers_are_refused_by_name(void **state)
{
    static const struct {
        const char *tensor, *words;
    } cases[] = {
        { "visual.trunk.norm.weight", "an image tower of timm" },
        { "visual.transformer.resblocks.0.ls_1.gamma", "layer scale" },
        { "text.text_projection.bias", "a text projection with a bias" },
        { "text.transformer.encoder.layer.0.output.dense.bias", "a text tower of transformers" },
        { "text_decoder.ln_final.bias", "a text decoder" },
    };
    char        path[PATH_MAX];
    float       number = 0;
    th_foreign *foreign;
    th_tensor   rows[MOST_ROWS + 1];
    clip        c;
    th_err      err = { 0 };

    make(&c);
    memcpy(rows, c.rows, sizeof c.rows);
    th_test_path(path, sizeof path, *state, "model.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rows[c.count] = (th_tensor){ cases[i].tensor, 0, { 0 }, &number };
        th_assert_ok(th_safetensors_write(path, rows, c.count + 1, &err), &err);
        th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, cases[i].words);
    }
    // Nothing of CLIP at all, and a tower that lacks a part.
    rows[c.count].name = "something.else";
    th_assert_ok(th_safetensors_write(path, &rows[c.count], 1, &err), &err);
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "neither");
    row_of(&c, "visual.ln_pre.weight")->name = "visual.ln_gone.weight";
    put_weights(*state, "model.safetensors", TH_OPEN_CLIP, &c);
    th_assert_error(th_foreign_open(*state, &foreign, &err), TH_EUSAGE, &err, "no_ln_pre");
    drop(&c);
}

static void wrong_rows_are_named(void **state)
{
    char        path[PATH_MAX];
    float       number[4];
    th_tensor   wanted = { "nowhere", 0, { 0 }, number };
    th_tensor   twice[] = { { "visual.proj", 0, { 0 }, number },
                            { "module.visual.proj", 0, { 0 }, number } };
    th_foreign *foreign;
    clip        c;
    th_err      err = { 0 };

    make(&c);
    put_weights(*state, "model.safetensors", TH_OPEN_CLIP, &c);
    th_test_path(path, sizeof path, *state, "model.safetensors");
    th_assert_ok(th_foreign_open(path, &foreign, &err), &err);
    th_assert_error(th_foreign_load(foreign, &wanted, &err), TH_EDATA, &err,
                    "no parameter \"nowhere\"");
    wanted = (th_tensor){ "ln_final.bias", 2, { 8, 8 }, number };
    th_assert_error(th_foreign_load(foreign, &wanted, &err), TH_EDATA, &err,
                    "shape [64] in the weights, [8, 8] in the model");
    th_foreign_close(foreign);
    th_assert_ok(th_safetensors_write(path, twice, 2, &err), &err);
    th_assert_error(th_foreign_open(path, &foreign, &err), TH_EDATA, &err, "the same parameter");
    drop(&c);
}

int main(void)
{
    enum { CONFIGS = sizeof configs / sizeof *configs };
    struct CMUnitTest cases[CONFIGS];
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_model_goes_round_without_a_changed_bit),
        cmocka_unit_test(hugging_face_names_are_its_own),
        cmocka_unit_test(bert_names_are_its_own),
        IN_FOLDER(a_sentence_encoder_is_a_text_tower),
        IN_FOLDER(a_projection_lies_on_its_side),
        IN_FOLDER(prefixes_are_taken_off),
        IN_FOLDER(sizes_are_those_of_the_tensors),
        IN_FOLDER(a_written_config_says_the_same_again),
        IN_FOLDER(other_towers_are_refused_by_name),
        IN_FOLDER(wrong_rows_are_named),
    };

    for (int i = 0; i < CONFIGS; i++)
        cases[i] =
            (struct CMUnitTest){ configs[i].name, config_is_read, NULL, NULL, (void *)&configs[i] };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests(cases, NULL, NULL);
}
