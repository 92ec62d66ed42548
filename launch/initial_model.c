#include "launch/initial_model.h"

#include "base/file.h"
#include "launch/run_directory.h"
#include "launch/weights_config.h"

#include <string.h>

#define BERT_CONTEXT                                                                               \
    128 // tokens: what sentence encoders are used with; they have positions for 512

static const char fix_sizes[] = "leave it out of the run file: the weights' sizes hold then";

// A size of the run file beside the weights', which holds where the run file says none.
static th_code take_size(const char *option, int64_t *size, int64_t weights, const char *path,
                         th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(*size == 0 || *size == weights, TH_EUSAGE, fix_sizes,
             "option %s is %lld, and the weights in \"%.120s\" have %lld", option, (long long)*size,
             path, (long long)weights);
    *size = weights;
out:
    return rc;
}

static void take_free_size(int64_t *size, int64_t weights)
{
    if (*size == 0)
        *size = weights;
}

static th_code take_activation(th_train_options *options, th_activation weights, const char *path,
                               th_err *err)
{
    const char *name = weights == TH_QUICK_GELU ? "quick_gelu" : "gelu";
    th_code     rc = TH_OK;

    TH_CHECK(!options->activation || strcmp(options->activation, name) == 0, TH_EUSAGE,
             "leave it out of the run file: the weights' activation holds then",
             "option model.activation is %s, and the weights in \"%.120s\" have %s",
             options->activation, path, name);
    options->activation = name;
out:
    return rc;
}

static th_code take_image(th_train_options *options, const th_image_config *image, bool guessed,
                          const char *path, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(image->width > 0, TH_EUSAGE, "name weights with an image tower",
             "the weights in \"%s\" have no image tower", path);
    take_free_size(&options->image_size, image->size);
    TH_TRY(take_size("model.image.patch", &options->image_patch, image->patch, path, err));
    TH_TRY(take_size("model.image.width", &options->image_width, image->width, path, err));
    TH_TRY(take_size("model.image.layers", &options->image_layers, image->layers, path, err));
    if (guessed)
        take_free_size(&options->image_heads, image->heads);
    TH_TRY(take_size("model.image.heads", &options->image_heads,
                     guessed ? options->image_heads : image->heads, path, err));
out:
    return rc;
}

// The kind of text tower; how BERT pools is taken over where the run file leaves it open.
static th_code take_kind(th_train_options *options, const th_text_config *text, const char *path,
                         th_err *err)
{
    const char *kind = text->kind == TH_TEXT_BERT ? "bert" : "clip";
    th_code     rc = TH_OK;

    TH_CHECK(!options->text_kind || strcmp(options->text_kind, kind) == 0, TH_EUSAGE, fix_sizes,
             "option model.text.kind is %s, and the weights in \"%.120s\" are of a %s text tower",
             options->text_kind, path, kind);
    options->text_kind = kind;
    if (text->kind == TH_TEXT_BERT && strcmp(options->text_pool, "auto") == 0)
        options->text_pool = text->pool == TH_POOL_MEAN ? "mean" : "cls";
out:
    return rc;
}

static th_code take_text(th_train_options *options, const th_text_config *text, bool guessed,
                         const char *path, th_err *err)
{
    bool    bert = text->kind == TH_TEXT_BERT;
    th_code rc = TH_OK;

    TH_CHECK(text->width > 0, TH_EUSAGE, "name weights with a text tower",
             "the weights in \"%s\" have no text tower", path);
    TH_TRY(take_kind(options, text, path, err));
    take_free_size(&options->text_context,
                   bert && text->context > BERT_CONTEXT ? BERT_CONTEXT : text->context);
    TH_TRY(take_size("model.text.width", &options->text_width, text->width, path, err));
    TH_TRY(take_size("model.text.layers", &options->text_layers, text->layers, path, err));
    if (guessed)
        take_free_size(&options->text_heads, text->heads);
    TH_TRY(take_size("model.text.heads", &options->text_heads,
                     guessed ? options->text_heads : text->heads, path, err));
out:
    return rc;
}

// Opens one source and takes the sizes of the part that it gives.
static th_code take_source(th_train_options *options, const char *path, th_weights_part part,
                           th_err *err)
{
    th_weights            *weights = NULL;
    th_weights_about       about;
    const th_model_config *model = &about.model;
    th_code                rc = TH_OK;

    if (!path)
        return TH_OK;
    TH_TRY(th_weights_open(path, &weights, err));
    TH_TRY(th_weights_describe(weights, &about, err));
    if (part != TH_TEXT_ONLY)
        TH_TRY(take_image(options, &model->image, about.guessed, path, err));
    if (part != TH_IMAGE_ONLY)
        TH_TRY(take_text(options, &model->text, about.guessed, path, err));
    if (part == TH_BOTH_TOWERS)
        TH_TRY(take_size("model.embed", &options->embed, model->embed, path, err));
    else if (model->embed > 0) // a projection of its own is trained where the run file has another
        take_free_size(&options->embed, model->embed);
    else if (part == TH_TEXT_ONLY) // without one, the feature begins as the tower's own
        take_free_size(&options->embed, model->text.width);
    // BERT's is GELU, whatever is set; and a guess does not stand against the run file.
    bool free_choice = about.guessed && options->activation;
    if (!free_choice && (part != TH_TEXT_ONLY || model->text.kind != TH_TEXT_BERT))
        TH_TRY(take_activation(options, model->activation, path, err));
out:
    th_weights_close(weights);
    return rc;
}

// A preset that is set must be the model of the weights; it says the sizes of towers without any.
static th_code check_preset(const th_train_options *options, th_err *err)
{
    th_train_options bare = { .preset = options->preset,
                              .text_pool = "auto",
                              .image_size = options->image_size,
                              .text_context = options->text_context };
    th_train_options taken = *options;
    th_model_config  preset;
    th_code          rc = TH_OK;

    if (!options->preset || !options->init_from)
        return TH_OK;
    TH_TRY(th_train_model(&bare, 3, &preset, err)); // any vocabulary
    const struct {
        const char *option;
        int64_t     preset, weights;
    } sizes[] = {
        { "image.patch", preset.image.patch, taken.image_patch },
        { "image.width", preset.image.width, taken.image_width },
        { "image.layers", preset.image.layers, taken.image_layers },
        { "text.width", preset.text.width, taken.text_width },
        { "text.layers", preset.text.layers, taken.text_layers },
        { "embed", preset.embed, taken.embed },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        TH_CHECK(sizes[i].preset == sizes[i].weights, TH_EUSAGE,
                 "leave model.preset out: the weights' sizes hold then",
                 "option model.preset is %s, with %s %lld, and the weights in \"%.100s\" have %lld",
                 options->preset, sizes[i].option, (long long)sizes[i].preset, options->init_from,
                 (long long)sizes[i].weights);
out:
    return rc;
}

static void fill(int64_t *size, int64_t before)
{
    if (*size == 0)
        *size = before;
}

// What an earlier start of the run resolved. *out_found: there was one.
static th_code take_before(th_train_options *options, const char *run_folder, th_arena *pool,
                           bool *out_found, th_err *err)
{
    char        path[1200];
    th_schedule schedule;
    th_code     rc = TH_OK;

    *out_found =
        th_path_join(path, sizeof path, run_folder, "config.resolved.yaml") && th_path_exists(path);
    if (!*out_found)
        goto out;
    TH_TRY(th_run_directory_schedule(run_folder, &schedule, pool, err));
    const th_train_options *before = &schedule.options;
    fill(&options->image_size, before->image_size);
    fill(&options->image_patch, before->image_patch);
    fill(&options->image_width, before->image_width);
    fill(&options->image_layers, before->image_layers);
    fill(&options->image_heads, before->image_heads);
    fill(&options->text_context, before->text_context);
    fill(&options->text_width, before->text_width);
    fill(&options->text_layers, before->text_layers);
    fill(&options->text_heads, before->text_heads);
    fill(&options->embed, before->embed);
    if (!options->text_kind)
        options->text_kind = before->text_kind;
    if (strcmp(options->text_pool, "auto") == 0)
        options->text_pool = before->text_pool;
    if (!options->preset)
        options->preset = before->preset;
    if (!options->activation)
        options->activation = before->activation;
out:
    return rc;
}

static th_code take_weights(th_train_options *options, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(take_source(options, options->init_image, TH_IMAGE_ONLY, err));
    TH_TRY(take_source(options, options->init_text, TH_TEXT_ONLY, err));
    TH_TRY(take_source(options, options->init_from, TH_BOTH_TOWERS, err));
    TH_TRY(check_preset(options, err));
out:
    return rc;
}

th_code th_initial_model(th_train_options *options, const char *run_folder, th_arena *pool,
                         th_err *err)
{
    bool    found = false;
    th_code rc = TH_OK;

    if (options->init_from || options->init_image || options->init_text) {
        TH_CHECK(!options->init_from || (!options->init_image && !options->init_text), TH_EUSAGE,
                 "name the weights of both towers, or those of each",
                 "init.from and init.%s are both set", options->init_image ? "image" : "text");
        if (run_folder)
            TH_TRY(take_before(options, run_folder, pool, &found, err));
        if (run_folder && !found)
            TH_TRY(take_weights(options, err));
    }
    if (!options->preset && !options->init_from && !(options->init_image && options->init_text))
        options->preset = "ViT-B-32";
    if (!options->activation)
        options->activation = "gelu";
out:
    return rc;
}
