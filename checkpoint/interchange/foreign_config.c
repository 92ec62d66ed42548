/* checkpoint/interchange/foreign_config.c - configs are walked by tables of their fields: what is
 * taken over, what must be as thaw's towers have it, what does not matter to the weights. */
#include "checkpoint/interchange/foreign_config.h"

#include "base/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)1 << 20)
#define MOST_SIZE    ((json_int_t)1 << 40) // so that small multiples stay in range

static const char fix_model[] = "thaw has CLIP's two towers only; take another model";
static const char fix_config[] = "get the config again from where it is whole";

// What is read from one object of a config.
typedef struct {
    int64_t     size, patch, channels, width, head_width, heads, layers, hidden, context;
    int64_t     vocabulary, embed;
    const char *activation;
    bool        quick_gelu;
} seen;

typedef enum {
    SIZE,   // a whole number, kept
    TEXT,   // kept
    FLAG,   // kept
    NUMBER, // must be `amount`
    WORD,   // must be one of the words, which are split by spaces
    OFF,    // must be absent in effect: null, false, 0, "" or empty
    FREE,   // does not matter here
} field_kind;

typedef struct {
    const char *name;
    field_kind  kind;
    size_t      offset; // in `seen`
    double      amount;
    const char *words;
} field;

#define KEEP(label, how, member)                                                                   \
    {                                                                                              \
        .name = label, .kind = how, .offset = offsetof(seen, member)                               \
    }

static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value)) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool is_word(const char *words, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    for (const char *at = words; at && length > 0; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, text, length) == 0 && (at[length] == ' ' || !at[length]))
            return true;
    }
    return false;
}

// A whole number; of a pair of equal ones (a picture's two sides), one.
static bool get_size(const json_t *value, int64_t *out)
{
    if (json_array_size(value) == 2 &&
        json_equal(json_array_get(value, 0), json_array_get(value, 1)))
        value = json_array_get(value, 0);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > MOST_SIZE)
        return false;
    *out = json_integer_value(value);
    return true;
}

static bool accept(const field *about, const json_t *value, seen *to)
{
    void *place = (char *)to + about->offset;

    switch (about->kind) {
    case SIZE:
        return get_size(value, place);
    case TEXT:
        *(const char **)place = json_string_value(value);
        return json_is_string(value);
    case FLAG:
        *(bool *)place = json_is_true(value);
        return json_is_boolean(value);
    case NUMBER:
        return json_is_number(value) && json_number_value(value) == about->amount;
    case WORD:
        return json_is_null(value) || is_word(about->words, json_string_value(value));
    case OFF:
        return is_off(value);
    case FREE:
        break;
    }
    return true;
}

// Walks an object. A field that no row names is refused if `strict`, unless it is off.
static th_code walk(const json_t *object, const char *where, const field *fields, bool strict,
                    seen *to, th_err *err)
{
    const char *name;
    json_t     *value;
    th_code     rc = TH_OK;

    TH_CHECK(json_is_object(object), TH_EDATA, fix_config, "the config has no object \"%s\"",
             where);
    json_object_foreach((json_t *)object, name, value)
    {
        const field *row = fields;
        while (row->name && strcmp(row->name, name) != 0)
            row++;
        if (row->name ? accept(row, value, to) : !strict || is_off(value))
            continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        rc = th_fail(err, TH_EUSAGE,
                     row->name ? fix_model
                               : "remove the field if it does not change what the model computes",
                     __FILE__, __LINE__, "%s.%.60s is %.80s, which thaw %s", where, name,
                     text ? text : "?", row->name ? "cannot follow" : "does not know");
        free(text);
        return rc;
    }
out:
    return rc;
}

static void mean_and_deviation(const json_t *mean, const json_t *deviation, th_foreign_model *out)
{
    out->has_pixels = json_array_size(mean) == 3 && json_array_size(deviation) == 3;
    for (size_t i = 0; i < 3 && out->has_pixels; i++) {
        out->mean[i] = json_number_value(json_array_get(mean, i));
        out->deviation[i] = json_number_value(json_array_get(deviation, i));
    }
}

// --- open_clip: model.py, CLIPVisionCfg and CLIPTextCfg ---

#define CUSTOM_BLOCKS                                                                              \
    { .name = "block_type", .kind = WORD, .words = "default" },                                    \
        { .name = "qk_norm", .kind = OFF }, { .name = "scaled_cosine_attn", .kind = OFF },         \
        { .name = "scale_heads", .kind = OFF }, { .name = "scale_attn_inner", .kind = OFF },       \
        { .name = "scale_attn", .kind = OFF },                                                     \
    {                                                                                              \
        .name = "scale_fc", .kind = OFF                                                            \
    }

static const field open_clip_vision[] = {
    KEEP("image_size", SIZE, size),
    KEEP("patch_size", SIZE, patch),
    KEEP("width", SIZE, width),
    KEEP("layers", SIZE, layers),
    KEEP("head_width", SIZE, head_width),
    { .name = "mlp_ratio", .kind = NUMBER, .amount = 4 },
    { .name = "timm_model_name", .kind = OFF },
    { .name = "pos_embed_type", .kind = WORD, .words = "learnable" },
    { .name = "pool_type", .kind = WORD, .words = "tok" },
    { .name = "patch_dropout", .kind = FREE },
    { .name = "output_tokens", .kind = FREE },
    { .name = "attn_pooler_queries", .kind = FREE },
    { .name = "attn_pooler_heads", .kind = FREE },
    { .name = "timm_model_pretrained", .kind = FREE },
    { .name = "timm_pool", .kind = FREE },
    { .name = "timm_proj", .kind = FREE },
    CUSTOM_BLOCKS,
    { 0 },
};

static const field open_clip_text[] = {
    KEEP("context_length", SIZE, context),
    KEEP("vocab_size", SIZE, vocabulary),
    KEEP("width", SIZE, width),
    KEEP("layers", SIZE, layers),
    KEEP("heads", SIZE, heads),
    { .name = "mlp_ratio", .kind = NUMBER, .amount = 4 },
    { .name = "pool_type", .kind = WORD, .words = "argmax" },
    { .name = "proj_type", .kind = WORD, .words = "linear" },
    { .name = "hf_model_name", .kind = OFF },
    { .name = "hf_tokenizer_name", .kind = FREE },
    { .name = "hf_model_pretrained", .kind = FREE },
    { .name = "hf_proj_type", .kind = FREE },
    { .name = "hf_pooler_type", .kind = FREE },
    { .name = "tokenizer_mode", .kind = FREE },
    { .name = "tokenizer_kwargs", .kind = FREE },
    { .name = "pad_id", .kind = FREE },
    { .name = "eos_id", .kind = FREE },
    { .name = "output_tokens", .kind = FREE },
    CUSTOM_BLOCKS,
    { 0 },
};

static const field open_clip_model[] = {
    KEEP("embed_dim", SIZE, embed),
    KEEP("quick_gelu", FLAG, quick_gelu),
    { .name = "vision_cfg", .kind = FREE },
    { .name = "text_cfg", .kind = FREE },
    { .name = "custom_text", .kind = FREE },
    { .name = "init_logit_scale", .kind = FREE },
    { .name = "init_logit_bias", .kind = FREE },
    { .name = "nonscalar_logit_scale", .kind = FREE },
    { .name = "output_dict", .kind = FREE },
    { .name = "cast_dtype", .kind = FREE },
    { 0 },
};

static th_code read_open_clip(const json_t *root, th_foreign_model *out, th_err *err)
{
    const json_t *wrapped = json_object_get(root, "model_cfg"), *model = wrapped ? wrapped : root;
    const json_t *pixels = json_object_get(root, "preprocess_cfg");
    seen          whole = { 0 };
    seen    image = { .size = 224, .patch = 16, .width = 768, .layers = 12, .head_width = 64 };
    seen    text = { .context = 77, .vocabulary = 49408, .width = 512, .layers = 12, .heads = 8 };
    th_code rc = TH_OK;

    TH_TRY(walk(model, "model_cfg", open_clip_model, true, &whole, err));
    TH_TRY(walk(json_object_get(model, "vision_cfg"), "vision_cfg", open_clip_vision, true, &image,
                err));
    TH_TRY(walk(json_object_get(model, "text_cfg"), "text_cfg", open_clip_text, true, &text, err));
    TH_CHECK(image.head_width > 0 && image.width % image.head_width == 0, TH_EUSAGE, fix_model,
             "vision_cfg.head_width is %" PRId64 ", and vision_cfg.width %" PRId64,
             image.head_width, image.width);
    out->image = (th_foreign_image){ true,        image.size,   image.patch,
                                     image.width, image.layers, image.width / image.head_width };
    out->text = (th_foreign_text){ true,       text.context, text.vocabulary,
                                   text.width, text.layers,  text.heads };
    out->embed = whole.embed;
    out->quick_gelu = whole.quick_gelu;
    mean_and_deviation(json_object_get(pixels, "mean"), json_object_get(pixels, "std"), out);
out:
    return rc;
}

// --- Hugging Face: configuration_clip.py ---

#define TRANSFORMER                                                                                \
    KEEP("hidden_size", SIZE, width), KEEP("intermediate_size", SIZE, hidden),                     \
        KEEP("num_hidden_layers", SIZE, layers), KEEP("num_attention_heads", SIZE, heads),         \
        KEEP("hidden_act", TEXT, activation),                                                      \
    {                                                                                              \
        .name = "layer_norm_eps", .kind = NUMBER, .amount = 1e-5                                   \
    }

static const field clip_vision[] = {
    TRANSFORMER,
    KEEP("image_size", SIZE, size),
    KEEP("patch_size", SIZE, patch),
    KEEP("projection_dim", SIZE, embed),
    { .name = "num_channels", .kind = NUMBER, .amount = 3 },
    { 0 },
};

static const field clip_text[] = {
    TRANSFORMER,
    KEEP("vocab_size", SIZE, vocabulary),
    KEEP("max_position_embeddings", SIZE, context),
    KEEP("projection_dim", SIZE, embed),
    { 0 },
};

static const field clip_model[] = { KEEP("projection_dim", SIZE, embed), { 0 } };

// *quick follows the tower's activation; *known says whether a tower before has set it.
static th_code take_activation(const char *where, const seen *tower, bool *known, bool *quick,
                               th_err *err)
{
    bool    is_quick = strcmp(tower->activation, "quick_gelu") == 0;
    th_code rc = TH_OK;

    TH_CHECK(is_quick || strcmp(tower->activation, "gelu") == 0, TH_EUSAGE, fix_model,
             "%s.hidden_act is \"%.40s\", and thaw has gelu and quick_gelu", where,
             tower->activation);
    TH_CHECK(!*known || *quick == is_quick, TH_EUSAGE, fix_model,
             "%s.hidden_act is \"%s\", and the other tower's is not", where, tower->activation);
    TH_CHECK(tower->hidden == 4 * tower->width, TH_EUSAGE, fix_model,
             "%s.intermediate_size is %" PRId64 ", and thaw's MLPs are 4 times as wide as "
             "hidden_size, %" PRId64,
             where, tower->hidden, tower->width);
    *known = true;
    *quick = is_quick;
out:
    return rc;
}

// A tower's object. Old files have a second one, "text_config_dict", which then counts alone.
static const json_t *tower_of(const json_t *root, const char *type, const char *name,
                              const char *alone)
{
    char          old[32];
    const json_t *tower;

    if (strcmp(type, alone) == 0)
        return root;
    (void)snprintf(old, sizeof old, "%s_dict", name);
    tower = json_object_get(root, old);
    return json_is_object(tower) ? tower : json_object_get(root, name);
}

static th_code read_hugging_face(const json_t *root, th_foreign_model *out, th_err *err)
{
    const char *type = json_string_value(json_object_get(root, "model_type"));
    seen        whole = { .embed = 512 };
    seen        image = { .size = 224,
                          .patch = 32,
                          .width = 768,
                          .hidden = 3072,
                          .layers = 12,
                          .heads = 12,
                          .embed = 512,
                          .activation = "quick_gelu" };
    seen        text = { .context = 77,
                         .vocabulary = 49408,
                         .width = 512,
                         .hidden = 2048,
                         .layers = 12,
                         .heads = 8,
                         .embed = 512,
                         .activation = "quick_gelu" };
    bool        known = false, image_alone, text_alone;
    th_code     rc = TH_OK;

    image_alone = type && strcmp(type, "clip_vision_model") == 0;
    text_alone = type && strcmp(type, "clip_text_model") == 0;
    TH_CHECK(type && (image_alone || text_alone || strcmp(type, "clip") == 0), TH_EUSAGE, fix_model,
             "config.json has model_type \"%.40s\", and thaw reads clip", type ? type : "none");
    TH_TRY(walk(root, "config", clip_model, false, &whole, err));
    if (!text_alone) {
        const json_t *tower = tower_of(root, type, "vision_config", "clip_vision_model");
        if (tower && !json_is_null(tower))
            TH_TRY(walk(tower, "vision_config", clip_vision, false, &image, err));
        TH_TRY(take_activation("vision_config", &image, &known, &out->quick_gelu, err));
        out->image = (th_foreign_image){ true,        image.size,   image.patch,
                                         image.width, image.layers, image.heads };
    }
    if (!image_alone) {
        const json_t *tower = tower_of(root, type, "text_config", "clip_text_model");
        if (tower && !json_is_null(tower))
            TH_TRY(walk(tower, "text_config", clip_text, false, &text, err));
        TH_TRY(take_activation("text_config", &text, &known, &out->quick_gelu, err));
        out->text = (th_foreign_text){ true,       text.context, text.vocabulary,
                                       text.width, text.layers,  text.heads };
    }
    out->embed = image_alone ? image.embed : text_alone ? text.embed : whole.embed;
out:
    return rc;
}

// --- files ---

// *out is NULL when there is no such file.
static th_code read_json(const char *folder, const char *name, json_t **out, th_err *err)
{
    char         path[PATH_MAX], *text = NULL;
    size_t       size;
    json_error_t where;
    th_code      rc = TH_OK;

    *out = NULL;
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EUSAGE, "use a shorter path",
             "the path of \"%s\" is too long", name);
    if (!th_path_exists(path))
        goto out;
    TH_TRY(th_file_read(path, CONFIG_BYTES, &text, &size, err));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    TH_CHECK(*out, TH_EDATA, fix_config, "%s is no JSON: line %d: %.120s", name, where.line,
             where.text);
out:
    free(text);
    return rc;
}

th_code th_foreign_config_read(const char *folder, th_format format, th_foreign_model *out,
                               bool *out_found, th_err *err)
{
    th_foreign_model model = { .format = format, .configured = true };
    bool             open_clip = format == TH_OPEN_CLIP;
    json_t          *config = NULL, *pixels = NULL;
    th_code          rc = TH_OK;

    TH_TRY(read_json(folder, open_clip ? "open_clip_config.json" : "config.json", &config, err));
    *out_found = config != NULL;
    if (!config)
        goto out;
    if (open_clip) {
        TH_TRY(read_open_clip(config, &model, err));
    } else {
        TH_TRY(read_json(folder, "preprocessor_config.json", &pixels, err));
        TH_TRY(read_hugging_face(config, &model, err));
        mean_and_deviation(json_object_get(pixels, "image_mean"),
                           json_object_get(pixels, "image_std"), &model);
    }
    *out = model;
out:
    json_decref(config);
    json_decref(pixels);
    return rc == TH_OK ? TH_OK : th_during(err, "reading the config in \"%s\"", folder);
}
