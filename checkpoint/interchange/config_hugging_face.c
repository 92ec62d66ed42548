/* checkpoint/interchange/config_hugging_face.c - config.json of transformers: configuration_clip.py
 * and configuration_bert.py, whose defaults hold where a field is left out. There are many fields
 * that have nothing to do with the model, so one that is not known is passed over. */
#include "checkpoint/interchange/config_walk.h"
#include "checkpoint/interchange/foreign_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRANSFORMER                                                                                \
    TH_KEEP("hidden_size", TH_FIELD_SIZE, width),                                                  \
        TH_KEEP("intermediate_size", TH_FIELD_SIZE, hidden),                                       \
        TH_KEEP("num_hidden_layers", TH_FIELD_SIZE, layers),                                       \
        TH_KEEP("num_attention_heads", TH_FIELD_SIZE, heads),                                      \
        TH_KEEP("hidden_act", TH_FIELD_TEXT, activation)

static const th_config_field clip_vision[] = {
    TRANSFORMER,
    TH_KEEP("image_size", TH_FIELD_SIZE, size),
    TH_KEEP("patch_size", TH_FIELD_SIZE, patch),
    TH_KEEP("projection_dim", TH_FIELD_SIZE, embed),
    { .name = "num_channels", .kind = TH_FIELD_NUMBER, .amount = 3 },
    { .name = "layer_norm_eps", .kind = TH_FIELD_NUMBER, .amount = 1e-5 },
    { 0 },
};

static const th_config_field clip_text[] = {
    TRANSFORMER,
    TH_KEEP("vocab_size", TH_FIELD_SIZE, vocabulary),
    TH_KEEP("max_position_embeddings", TH_FIELD_SIZE, context),
    TH_KEEP("projection_dim", TH_FIELD_SIZE, embed),
    { .name = "layer_norm_eps", .kind = TH_FIELD_NUMBER, .amount = 1e-5 },
    { 0 },
};

static const th_config_field clip_model[] = { TH_KEEP("projection_dim", TH_FIELD_SIZE, embed),
                                              { 0 } };

static const th_config_field bert_text[] = {
    TRANSFORMER,
    TH_KEEP("vocab_size", TH_FIELD_SIZE, vocabulary),
    TH_KEEP("max_position_embeddings", TH_FIELD_SIZE, context),
    TH_KEEP("type_vocab_size", TH_FIELD_SIZE, types),
    { .name = "layer_norm_eps", .kind = TH_FIELD_NUMBER, .amount = 1e-12 },
    { .name = "position_embedding_type", .kind = TH_FIELD_WORD, .word = "absolute" },
    TH_OFF("is_decoder"),
    TH_OFF("add_cross_attention"),
    { 0 },
};

static const th_config_field pooling[] = {
    TH_KEEP("pooling_mode_mean_tokens", TH_FIELD_FLAG, mean),
    TH_KEEP("pooling_mode_cls_token", TH_FIELD_FLAG, first),
    TH_FREE("word_embedding_dimension"),
    TH_FREE("include_prompt"),
    { 0 },
};

static th_code check_mlp(const char *where, const th_config_seen *tower, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(tower->hidden == 4 * tower->width, TH_EUSAGE, th_config_fix_model,
             "%s.intermediate_size is %" PRId64 ", and thaw's MLPs are 4 times as wide as "
             "hidden_size, %" PRId64,
             where, tower->hidden, tower->width);
out:
    return rc;
}

// *quick follows the tower's activation; *known says whether a tower before has set it.
static th_code take_activation(const char *where, const th_config_seen *tower, bool *known,
                               bool *quick, th_err *err)
{
    bool    is_quick = strcmp(tower->activation, "quick_gelu") == 0;
    th_code rc = TH_OK;

    TH_CHECK(is_quick || strcmp(tower->activation, "gelu") == 0, TH_EUSAGE, th_config_fix_model,
             "%s.hidden_act is \"%.40s\", and thaw has gelu and quick_gelu", where,
             tower->activation);
    TH_CHECK(!*known || *quick == is_quick, TH_EUSAGE, th_config_fix_model,
             "%s.hidden_act is \"%s\", and the other tower's is not", where, tower->activation);
    *known = true;
    *quick = is_quick;
out:
    return rc;
}

// A tower's object. Old files have a second one, "text_config_dict", which then counts alone; a
// file of one tower is that object itself.
static const json_t *tower_of(const json_t *root, const char *name, bool alone)
{
    char          old[32];
    const json_t *tower;

    if (alone)
        return root;
    (void)snprintf(old, sizeof old, "%s_dict", name);
    tower = json_object_get(root, old);
    return json_is_object(tower) ? tower : json_object_get(root, name);
}

static th_code read_tower(const json_t *root, const char *name, bool alone,
                          const th_config_field *fields, bool *known, th_config_seen *tower,
                          th_foreign_model *out, th_err *err)
{
    const json_t *about = tower_of(root, name, alone);
    th_code       rc = TH_OK;

    if (about && !json_is_null(about)) // else it is all defaults
        TH_TRY(th_config_walk(about, name, fields, false, tower, err));
    TH_TRY(check_mlp(name, tower, err));
    TH_TRY(take_activation(name, tower, known, &out->quick_gelu, err));
out:
    return rc;
}

th_code th_config_clip(const json_t *root, th_foreign_model *out, th_err *err)
{
    const char    *type = json_string_value(json_object_get(root, "model_type"));
    th_config_seen whole = { .embed = 512 };
    th_config_seen image = { .size = 224,
                             .patch = 32,
                             .width = 768,
                             .hidden = 3072,
                             .layers = 12,
                             .heads = 12,
                             .embed = 512,
                             .activation = "quick_gelu" };
    th_config_seen text = { .context = 77,
                            .vocabulary = 49408,
                            .width = 512,
                            .hidden = 2048,
                            .layers = 12,
                            .heads = 8,
                            .embed = 512,
                            .activation = "quick_gelu" };
    bool           known = false, image_alone, text_alone;
    th_code        rc = TH_OK;

    image_alone = type && strcmp(type, "clip_vision_model") == 0;
    text_alone = type && strcmp(type, "clip_text_model") == 0;
    TH_CHECK(type && (image_alone || text_alone || strcmp(type, "clip") == 0), TH_EUSAGE,
             th_config_fix_model,
             "config.json has model_type \"%.40s\", and the tensors are of clip",
             type ? type : "none");
    TH_TRY(th_config_walk(root, "config", clip_model, false, &whole, err));
    if (!text_alone)
        TH_TRY(
            read_tower(root, "vision_config", image_alone, clip_vision, &known, &image, out, err));
    if (!image_alone)
        TH_TRY(read_tower(root, "text_config", text_alone, clip_text, &known, &text, out, err));
    out->image = (th_foreign_image){ .present = !text_alone,
                                     .size = image.size,
                                     .patch = image.patch,
                                     .width = image.width,
                                     .layers = image.layers,
                                     .heads = image.heads };
    out->text = (th_foreign_text){ .present = !image_alone,
                                   .context = text.context,
                                   .vocabulary = text.vocabulary,
                                   .width = text.width,
                                   .layers = text.layers,
                                   .heads = text.heads };
    out->embed = image_alone ? image.embed : text_alone ? text.embed : whole.embed;
out:
    return rc;
}

th_code th_config_bert(const json_t *root, const json_t *pool, th_foreign_model *out, th_err *err)
{
    const char    *type = json_string_value(json_object_get(root, "model_type"));
    th_config_seen text = { .context = 512,
                            .vocabulary = 30522,
                            .width = 768,
                            .hidden = 3072,
                            .layers = 12,
                            .heads = 12,
                            .types = 2,
                            .activation = "gelu" };
    th_config_seen mode = { 0 };
    th_code        rc = TH_OK;

    TH_CHECK(type && strcmp(type, "bert") == 0, TH_EUSAGE, th_config_fix_model,
             "config.json has model_type \"%.40s\", and the tensors are like bert's",
             type ? type : "none");
    TH_TRY(th_config_walk(root, "config", bert_text, false, &text, err));
    TH_TRY(check_mlp("config", &text, err));
    TH_CHECK(strcmp(text.activation, "gelu") == 0, TH_EUSAGE, th_config_fix_model,
             "config.hidden_act is \"%.40s\", and thaw's BERT has gelu", text.activation);
    if (pool)
        TH_TRY(th_config_walk(pool, "1_Pooling", pooling, true, &mode, err));
    TH_CHECK(!mode.mean || !mode.first, TH_EUSAGE, th_config_fix_model,
             "1_Pooling has both the mean and the first token, and thaw takes one of them");
    out->text = (th_foreign_text){ .present = true,
                                   .context = text.context,
                                   .vocabulary = text.vocabulary,
                                   .width = text.width,
                                   .layers = text.layers,
                                   .heads = text.heads,
                                   .bert = true,
                                   .types = text.types,
                                   .mean = mode.mean };
out:
    return rc;
}
