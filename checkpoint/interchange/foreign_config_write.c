/* checkpoint/interchange/foreign_config_write.c - every size is written, also where it is the
 * program's default: defaults change. */
#include "base/file.h"
#include "checkpoint/interchange/foreign_write.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static th_code write_json(const char *folder, const char *name, json_t *root, th_err *err)
{
    char    path[PATH_MAX], *text = NULL;
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EUSAGE, "use a shorter path",
             "the path of \"%s\" is too long", name);
    // A mean of float comes back to the same digits that were read.
    text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    TH_CHECK(text, TH_EIO, "free some memory", "could not print %s", name);
    TH_TRY(th_file_replace(path, text, strlen(text), err));
out:
    free(text);
    return rc;
}

static json_t *three(const double value[3])
{
    return json_pack("[f, f, f]", value[0], value[1], value[2]);
}

static th_code write_open_clip(const char *folder, const th_foreign_model *model,
                               const th_foreign_tokenizer *tokenizer, bool bias, th_err *err)
{
    const th_foreign_image *image = &model->image;
    const th_foreign_text  *text = &model->text;
    json_t                 *vision_cfg = json_pack(
                        "{s:I, s:I, s:I, s:I, s:I}", "image_size", (json_int_t)image->size, "layers",
                        (json_int_t)image->layers, "width", (json_int_t)image->width, "patch_size",
                        (json_int_t)image->patch, "head_width", (json_int_t)(image->width / image->heads));
    json_t *text_cfg =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "context_length", (json_int_t)text->context,
                  "vocab_size", (json_int_t)text->vocabulary, "width", (json_int_t)text->width,
                  "heads", (json_int_t)text->heads, "layers", (json_int_t)text->layers);
    json_t *model_cfg, *root = NULL;
    th_code rc = TH_OK;

    // open_clip reads the tokenizer in the folder when it is told of any.
    if (tokenizer->there)
        (void)json_object_set_new(text_cfg, "hf_tokenizer_name", json_string("."));
    // Its usual place of a caption's feature is that of the highest id.
    if (tokenizer->end != text->vocabulary - 1) {
        (void)json_object_set_new(text_cfg, "pool_type", json_string("eos"));
        (void)json_object_set_new(text_cfg, "eos_id", json_integer(tokenizer->end));
    }
    model_cfg =
        json_pack("{s:I, s:b, s:o, s:o}", "embed_dim", (json_int_t)model->embed, "quick_gelu",
                  model->quick_gelu, "vision_cfg", vision_cfg, "text_cfg", text_cfg);
    if (bias) // its value is in the tensors; that it is told makes the row
        (void)json_object_set_new(model_cfg, "init_logit_bias", json_real(-10));
    root = json_pack("{s:o, s:{s:I, s:s, s:s, s:s, s:o, s:o}}", "model_cfg", model_cfg,
                     "preprocess_cfg", "size", (json_int_t)image->size, "mode", "RGB",
                     "interpolation", "bicubic", "resize_mode", "shortest", "mean",
                     three(model->mean), "std", three(model->deviation));
    TH_TRY(write_json(folder, "open_clip_config.json", root, err));
out:
    json_decref(root);
    return rc;
}

// What both towers say, in Hugging Face's words.
static json_t *transformer(const char *type, int64_t width, int64_t layers, int64_t heads,
                           const th_foreign_model *model)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:I}", "model_type", type,
                     "hidden_size", (json_int_t)width, "intermediate_size", 4 * (json_int_t)width,
                     "num_hidden_layers", (json_int_t)layers, "num_attention_heads",
                     (json_int_t)heads, "hidden_act", model->quick_gelu ? "quick_gelu" : "gelu",
                     "layer_norm_eps", 1e-5, "attention_dropout", 0.0, "projection_dim",
                     (json_int_t)model->embed);
}

static th_code write_clip_config(const char *folder, const th_foreign_model *model,
                                 const th_foreign_tokenizer *tokenizer, th_err *err)
{
    const th_foreign_image *image = &model->image;
    const th_foreign_text  *text = &model->text;
    json_t                 *vision =
        transformer("clip_vision_model", image->width, image->layers, image->heads, model);
    json_t *words = transformer("clip_text_model", text->width, text->layers, text->heads, model);
    json_t *root;
    th_code rc = TH_OK;

    if (vision) {
        (void)json_object_set_new(vision, "image_size", json_integer(image->size));
        (void)json_object_set_new(vision, "patch_size", json_integer(image->patch));
        (void)json_object_set_new(vision, "num_channels", json_integer(3));
    }
    if (words) {
        (void)json_object_set_new(words, "vocab_size", json_integer(text->vocabulary));
        (void)json_object_set_new(words, "max_position_embeddings", json_integer(text->context));
        // The feature of a caption is taken at the first token with this id.
        (void)json_object_set_new(words, "bos_token_id", json_integer(tokenizer->start));
        (void)json_object_set_new(words, "eos_token_id", json_integer(tokenizer->end));
        (void)json_object_set_new(words, "pad_token_id", json_integer(tokenizer->end));
    }
    root = json_pack("{s:[s], s:s, s:I, s:f, s:s, s:o, s:o}", "architectures", "CLIPModel",
                     "model_type", "clip", "projection_dim", (json_int_t)model->embed,
                     "logit_scale_init_value", 2.6592, "torch_dtype", "float32", "text_config",
                     words, "vision_config", vision);
    TH_TRY(write_json(folder, "config.json", root, err));
out:
    json_decref(root);
    return rc;
}

static th_code write_clip_pixels(const char *folder, const th_foreign_model *model, th_err *err)
{
    json_int_t size = (json_int_t)model->image.size;
    json_t    *root =
        json_pack("{s:s, s:s, s:b, s:{s:I}, s:i, s:b, s:{s:I, s:I}, s:b, s:o, s:o, s:b}",
                  "image_processor_type", "CLIPImageProcessor", "feature_extractor_type",
                  "CLIPFeatureExtractor", "do_resize", 1, "size", "shortest_edge", size, "resample",
                  3 /* bicubic */, "do_center_crop", 1, "crop_size", "height", size, "width", size,
                  "do_normalize", 1, "image_mean", three(model->mean), "image_std",
                  three(model->deviation), "do_convert_rgb", 1);
    th_code rc = write_json(folder, "preprocessor_config.json", root, err);

    json_decref(root);
    return rc;
}

th_code th_foreign_config_write(const char *folder, const th_foreign_model *model,
                                const th_foreign_tokenizer *tokenizer, bool bias, th_err *err)
{
    th_code rc = TH_OK;

    if (model->format == TH_OPEN_CLIP) {
        TH_TRY(write_open_clip(folder, model, tokenizer, bias, err));
    } else {
        TH_TRY(write_clip_config(folder, model, tokenizer, err));
        TH_TRY(write_clip_pixels(folder, model, err));
    }
out:
    return rc == TH_OK ? TH_OK : th_during(err, "writing the config in \"%s\"", folder);
}
