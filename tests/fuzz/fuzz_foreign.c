// checkpoint/interchange: the configs of other programs, alone and beside weights of each. What is
// accepted of a whole model is written again and read to the same.
#include "base/file.h"
#include "checkpoint/interchange/foreign_config.h"
#include "checkpoint/interchange/foreign_write.h"
#include "tests/fuzz/fuzz.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

static const char *const names[] = { "open_clip_config.json", "config.json",
                                     "preprocessor_config.json", "1_Pooling/config.json" };
static const char *const files[] = { "open_clip.safetensors", "clip.safetensors",
                                     "bert.safetensors" };

// Towers of one block; of its many rows only those that sizes are taken from.
static void write_weights(const char *folder)
{
    static float values[256];
    th_tensor    clip[] = {
           { "visual.conv1.weight", 4, { 8, 3, 2, 2 }, values },
           { "visual.class_embedding", 1, { 8 }, values },
           { "visual.positional_embedding", 2, { 5, 8 }, values },
           { "visual.ln_pre.weight", 1, { 8 }, values },
           { "visual.transformer.resblocks.0.ln_1.weight", 1, { 8 }, values },
           { "visual.proj", 2, { 8, 6 }, values },
           { "token_embedding.weight", 2, { 10, 4 }, values },
           { "positional_embedding", 2, { 3, 4 }, values },
           { "transformer.resblocks.0.ln_1.weight", 1, { 4 }, values },
           { "text_projection", 2, { 4, 6 }, values },
    };
    th_tensor bert[] = {
        { "token_embedding.weight", 2, { 10, 4 }, values },
        { "positional_embedding", 2, { 3, 4 }, values },
        { "token_type_embedding.weight", 2, { 2, 4 }, values },
        { "ln_embed.weight", 1, { 4 }, values },
        { "transformer.resblocks.0.ln_1.weight", 1, { 4 }, values },
    };
    char   path[PATH_MAX];
    th_err err = { 0 };

    for (int f = 0; f < TH_FORMATS; f++) {
        bool is_bert = f == TH_BERT;
        int  count = (int)(is_bert ? sizeof bert / sizeof *bert : sizeof clip / sizeof *clip);

        th_fuzz_claim(th_path_join(path, sizeof path, folder, files[f]));
        if (!th_path_exists(path))
            th_fuzz_claim(th_foreign_write(path, (th_format)f, is_bert ? bert : clip, count, NULL,
                                           &err) == TH_OK);
    }
}

static bool is_near(const double *a, const double *b) // nine digits are written
{
    for (int i = 0; i < 3; i++)
        if (!(fabs(a[i] - b[i]) <= 1e-8 * fabs(a[i])))
            return false;
    return true;
}

// Both towers are there, and their heads can be told by a width.
static bool is_whole(const th_foreign_model *model)
{
    return model->format != TH_BERT && model->image.present && model->text.present &&
           model->has_pixels && model->image.width > 0 && model->image.heads > 0 &&
           model->image.width % model->image.heads == 0;
}

static void check_again(const th_foreign_model *model)
{
    static const th_foreign_tokenizer tokenizer = { true, 1, 2 };
    const char                       *folder = th_fuzz_folder(names, 4, (const uint8_t *)"", 0);
    th_foreign_model                  again;
    th_err                            err = { 0 };
    bool                              found;

    th_fuzz_claim(th_foreign_config_write(folder, model, &tokenizer, false, &err) == TH_OK);
    th_fuzz_claim(th_foreign_config_read(folder, model->format, &again, &found, &err) == TH_OK);
    th_fuzz_claim(found && again.embed == model->embed && again.quick_gelu == model->quick_gelu);
    th_fuzz_claim(
        again.image.size == model->image.size && again.image.patch == model->image.patch &&
        again.image.width == model->image.width && again.image.layers == model->image.layers &&
        again.image.heads == model->image.heads);
    th_fuzz_claim(again.text.width == model->text.width && again.text.heads == model->text.heads &&
                  again.text.layers == model->text.layers &&
                  again.text.context == model->text.context &&
                  again.text.vocabulary == model->text.vocabulary);
    th_fuzz_claim(again.has_pixels && is_near(model->mean, again.mean) &&
                  is_near(model->deviation, again.deviation));
}

static void open_weights(const char *folder, th_format format)
{
    char        path[PATH_MAX];
    th_foreign *foreign = NULL;
    th_err      err = { 0 };

    th_fuzz_claim(th_path_join(path, sizeof path, folder, files[format]));
    th_code rc = th_foreign_open(path, &foreign, &err);
    if (rc == TH_OK) {
        const th_foreign_model *model = th_foreign_describe(foreign);
        th_fuzz_claim(model->format == format && model->text.present);
        th_fuzz_claim(model->text.width == 4 && model->text.layers == 1);
        th_fuzz_claim(format == TH_BERT || (model->image.width == 8 && model->image.size / 2 == 2));
    } else
        th_fuzz_refusal(rc, err);
    th_foreign_close(foreign);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char      *folder = th_fuzz_folder(names, 4, bytes, size);
    th_foreign_model model[TH_FORMATS] = { 0 };
    bool             accepted[TH_FORMATS] = { false };

    write_weights(folder);
    for (int f = 0; f < TH_FORMATS; f++) {
        th_err  err = { 0 };
        th_code rc = th_foreign_config_read(folder, (th_format)f, &model[f], &accepted[f], &err);
        if (rc != TH_OK) {
            th_fuzz_refusal(rc, err);
            accepted[f] = false; // found, but not what it must be
        }
        open_weights(folder, (th_format)f);
    }
    for (int f = 0; f < TH_FORMATS; f++)
        if (accepted[f] && is_whole(&model[f]))
            check_again(&model[f]);
    return 0;
}
