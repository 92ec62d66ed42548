/* checkpoint/interchange/config_open_clip.c - open_clip_config.json: model.py, CLIPVisionCfg and
 * CLIPTextCfg, whose defaults hold where a field is left out. A field that is not known may change
 * the model, so it is refused. */
#include "checkpoint/interchange/config_walk.h"
#include "checkpoint/interchange/foreign_config.h"

#include <inttypes.h>
#include <string.h>

#define CUSTOM_BLOCKS                                                                              \
    { .name = "block_type", .kind = TH_FIELD_WORD, .word = "default" }, TH_OFF("qk_norm"),         \
        TH_OFF("scaled_cosine_attn"), TH_OFF("scale_heads"), TH_OFF("scale_attn_inner"),           \
        TH_OFF("scale_attn"), TH_OFF("scale_fc")

static const th_config_field vision[] = {
    TH_KEEP("image_size", TH_FIELD_SIZE, size),
    TH_KEEP("patch_size", TH_FIELD_SIZE, patch),
    TH_KEEP("width", TH_FIELD_SIZE, width),
    TH_KEEP("layers", TH_FIELD_SIZE, layers),
    TH_KEEP("head_width", TH_FIELD_SIZE, head_width),
    { .name = "mlp_ratio", .kind = TH_FIELD_NUMBER, .amount = 4 },
    { .name = "pos_embed_type", .kind = TH_FIELD_WORD, .word = "learnable" },
    { .name = "pool_type", .kind = TH_FIELD_WORD, .word = "tok" },
    CUSTOM_BLOCKS,
    TH_OFF("timm_model_name"),
    TH_FREE("patch_dropout"),
    TH_FREE("output_tokens"),
    TH_FREE("attn_pooler_queries"),
    TH_FREE("attn_pooler_heads"),
    TH_FREE("timm_model_pretrained"),
    TH_FREE("timm_pool"),
    TH_FREE("timm_proj"),
    { 0 },
};

static const th_config_field text[] = {
    TH_KEEP("context_length", TH_FIELD_SIZE, context),
    TH_KEEP("vocab_size", TH_FIELD_SIZE, vocabulary),
    TH_KEEP("width", TH_FIELD_SIZE, width),
    TH_KEEP("layers", TH_FIELD_SIZE, layers),
    TH_KEEP("heads", TH_FIELD_SIZE, heads),
    { .name = "mlp_ratio", .kind = TH_FIELD_NUMBER, .amount = 4 },
    { .name = "pool_type", .kind = TH_FIELD_WORD, .word = "argmax", .other = "eos" },
    { .name = "proj_type", .kind = TH_FIELD_WORD, .word = "linear" },
    CUSTOM_BLOCKS,
    TH_OFF("hf_model_name"),
    TH_FREE("hf_tokenizer_name"),
    TH_FREE("hf_model_pretrained"),
    TH_FREE("hf_proj_type"),
    TH_FREE("hf_pooler_type"),
    TH_FREE("tokenizer_mode"),
    TH_FREE("tokenizer_kwargs"),
    TH_FREE("pad_id"),
    TH_FREE("eos_id"),
    TH_FREE("output_tokens"),
    { 0 },
};

static const th_config_field model[] = {
    TH_KEEP("embed_dim", TH_FIELD_SIZE, embed),
    TH_KEEP("quick_gelu", TH_FIELD_FLAG, quick_gelu),
    TH_FREE("vision_cfg"),
    TH_FREE("text_cfg"),
    TH_FREE("custom_text"),
    TH_FREE("init_logit_scale"),
    TH_FREE("init_logit_bias"),
    TH_FREE("nonscalar_logit_scale"),
    TH_FREE("output_dict"),
    TH_FREE("cast_dtype"),
    { 0 },
};

th_code th_config_open_clip(const json_t *root, th_foreign_model *out, th_err *err)
{
    const json_t  *wrapped = json_object_get(root, "model_cfg"), *cfg = wrapped ? wrapped : root;
    const json_t  *pixels = json_object_get(root, "preprocess_cfg");
    th_config_seen whole = { 0 }, image = {
        .size = 224, .patch = 16, .width = 768, .layers = 12, .head_width = 64
    };
    th_config_seen words = {
        .context = 77, .vocabulary = 49408, .width = 512, .layers = 12, .heads = 8
    };
    th_code rc = TH_OK;

    TH_TRY(th_config_walk(cfg, "model_cfg", model, true, &whole, err));
    TH_TRY(th_config_walk(json_object_get(cfg, "vision_cfg"), "vision_cfg", vision, true, &image,
                          err));
    TH_TRY(th_config_walk(json_object_get(cfg, "text_cfg"), "text_cfg", text, true, &words, err));
    TH_CHECK(image.head_width > 0 && image.width % image.head_width == 0, TH_EUSAGE,
             th_config_fix_model,
             "vision_cfg.head_width is %" PRId64 ", and vision_cfg.width %" PRId64,
             image.head_width, image.width);
    out->image = (th_foreign_image){ .present = true,
                                     .size = image.size,
                                     .patch = image.patch,
                                     .width = image.width,
                                     .layers = image.layers,
                                     .heads = image.width / image.head_width };
    out->text = (th_foreign_text){ .present = true,
                                   .context = words.context,
                                   .vocabulary = words.vocabulary,
                                   .width = words.width,
                                   .layers = words.layers,
                                   .heads = words.heads };
    out->embed = whole.embed;
    out->quick_gelu = whole.quick_gelu;
    th_config_pixels(json_object_get(pixels, "mean"), json_object_get(pixels, "std"), out);
out:
    return rc;
}
