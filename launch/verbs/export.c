#include "launch/verbs/export.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/interchange/foreign_write.h"
#include "dataloader/pack.h"
#include "launch/verb.h"
#include "launch/weights_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *format, *out, *data;
} export_options;

static const th_option table[] = {
    TH_OPTION(export_options, "data", data, .when = TH_PER_START, .since = "0.2",
              .help = "pack whose tokenizer and normalization are written; by default the run's"),
    TH_OPTION(export_options, "format", format, .fallback = "open_clip",
              .choices = "open_clip hf safetensors", .when = TH_PER_START, .since = "0.2",
              .help = "open_clip; hf: CLIPModel of transformers; safetensors: the weights alone"),
    TH_OPTION(export_options, "out", out, .when = TH_PER_START, .since = "0.2",
              .help = "folder to write; for safetensors a file"),
};

void th_export_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

// A model on its way out.
typedef struct {
    th_weights      *weights;
    th_weights_about about;
    th_parameters    parameters;
    th_tensor       *rows; // of parameters
    th_pack         *pack; // may be NULL
} outgoing;

static void outgoing_done(outgoing *model)
{
    th_pack_close(model->pack);
    free(model->rows);
    th_parameters_close(&model->parameters);
    th_weights_close(model->weights);
}

static th_code describe_rows(outgoing *model, th_err *err)
{
    const th_parameters *p = &model->parameters;
    th_code              rc = TH_OK;

    TH_TRY(th_alloc((size_t)p->row_count, sizeof *model->rows, "rows to write",
                    (void **)&model->rows, err));
    for (int i = 0; i < p->row_count; i++) {
        th_tensor *row = &model->rows[i];
        *row = (th_tensor){ .name = p->rows[i].name,
                            .dimensions = p->rows[i].dimensions,
                            .data = th_weight(p, i) };
        memcpy(row->shape, p->rows[i].shape, sizeof row->shape);
    }
out:
    return rc;
}

// The pack that was named, else the one that the run was trained on, if it is still there.
static th_code open_pack(outgoing *model, const char *named, th_err *err)
{
    const char *train = model->about.train;
    th_err      why = { 0 };
    th_code     rc = TH_OK;

    if (named)
        return th_pack_open(named, &model->pack, err);
    if (*train && th_pack_open(train, &model->pack, &why) != TH_OK) {
        model->pack = NULL;
        th_warn("the run's pack \"%s\" cannot be opened (%s): name one with --data", train,
                why.what);
    }
    return rc;
}

// How pictures are normalized: as the pack's were; else as the weights say; else as CLIP's.
static void find_pixels(outgoing *model)
{
    th_pixels          *pixels = &model->about.pixels;
    const th_pack_info *info = model->pack ? th_pack_describe(model->pack) : NULL;

    if (info) {
        pixels->known = true;
        for (int i = 0; i < 3; i++) {
            pixels->mean[i] = (double)info->mean[i];
            pixels->deviation[i] = (double)info->deviation[i];
        }
    } else if (!pixels->known) {
        th_warn("nothing tells how pixels were normalized: CLIP's mean and deviation are written");
        *pixels = th_pixels_clip;
    }
}

static th_code open_model(outgoing *model, const char *path, const char *data, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_weights_open(path, &model->weights, err));
    TH_TRY(th_weights_describe(model->weights, &model->about, err));
    TH_TRY(th_parameters_open(&model->about.model, &model->parameters, err));
    TH_TRY(th_weights_load(model->weights, &model->parameters, TH_WHOLE_MODEL, err));
    TH_TRY(describe_rows(model, err));
    TH_TRY(open_pack(model, data, err));
    find_pixels(model);
out:
    return rc;
}

static th_foreign_model describe(const outgoing *model, th_format format)
{
    const th_model_config *is = &model->about.model;
    th_foreign_model       out = {
              .format = format,
              .image = { true, is->image.size, is->image.patch, is->image.width, is->image.layers,
                         is->image.heads },
              .text = { .present = true,
                        .context = is->text.context,
                        .vocabulary = is->text.vocabulary,
                        .width = is->text.width,
                        .layers = is->text.layers,
                        .heads = is->text.heads },
              .embed = is->embed,
              .quick_gelu = is->activation == TH_QUICK_GELU,
              .has_pixels = true,
    };

    memcpy(out.mean, model->about.pixels.mean, sizeof out.mean);
    memcpy(out.deviation, model->about.pixels.deviation, sizeof out.deviation);
    return out;
}

static th_code write_weights(const outgoing *model, const char *path, th_format format, th_err *err)
{
    const char *left_out;
    th_code     rc = TH_OK;

    TH_TRY(
        th_foreign_write(path, format, model->rows, model->parameters.row_count, &left_out, err));
    if (left_out)
        th_warn("this format has no place for \"%s\": it is left out", left_out);
    printf("written     %s\n", path);
out:
    return rc;
}

static th_code write_folder(const outgoing *model, const char *folder, th_format format,
                            th_err *err)
{
    th_foreign_model     about = describe(model, format);
    int64_t              vocabulary = about.text.vocabulary;
    const th_tokenizer  *own = model->pack ? th_pack_tokenizer(model->pack) : NULL;
    th_foreign_tokenizer tokenizer = { false, vocabulary - 2, vocabulary - 1 };
    char                 path[4096];
    const char *file = format == TH_OPEN_CLIP ? "open_clip_model.safetensors" : "model.safetensors";
    th_code     rc = TH_OK;

    TH_CHECK(model->about.model.text.kind == TH_TEXT_CLIP, TH_EUSAGE,
             "write the weights alone: --format safetensors --out FILE.safetensors",
             "neither open_clip nor CLIPModel has BERT's text tower with thaw's projection");
    TH_CHECK(!own || th_tokenizer_vocabulary(own) == vocabulary, TH_EUSAGE,
             "name the pack that the model was trained on with --data",
             "the model has a vocabulary of %lld tokens, its pack one of %lld",
             (long long)vocabulary, (long long)th_tokenizer_vocabulary(own));
    if (own)
        tokenizer = (th_foreign_tokenizer){ !th_tokenizer_is_clips(own), th_tokenizer_begin(own),
                                            th_tokenizer_end(own) };
    TH_TRY(th_folder_make(folder, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, file), TH_EUSAGE, "use a shorter path",
             "the path of \"%s\" is too long", folder);
    TH_TRY(write_weights(model, path, format, err));
    TH_TRY(th_foreign_config_write(folder, &about, &tokenizer, model->about.model.logit_bias, err));
    if (own)
        TH_TRY(th_tokenizer_write_hf(own, folder, about.text.context, err));
out:
    return rc;
}

static th_code export(const char *source, const export_options *options, th_err *err)
{
    outgoing model = { 0 };
    th_code  rc = TH_OK;

    TH_TRY(open_model(&model, source, options->data, err));
    if (strcmp(options->format, "safetensors") == 0)
        TH_TRY(write_weights(&model, options->out, TH_OPEN_CLIP, err));
    else
        TH_TRY(write_folder(&model, options->out,
                            strcmp(options->format, "hf") == 0 ? TH_HUGGING_FACE : TH_OPEN_CLIP,
                            err));
out:
    outgoing_done(&model);
    return rc;
}

th_code th_verb_export(const th_command_line *line, th_err *err)
{
    export_options options;
    th_option_set  set = { table, sizeof table / sizeof *table, &options };
    th_arena       pool = { 0 };
    th_code        rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(line->word_count == 1 && options.out, TH_EUSAGE,
             "thaw export RUN --format open_clip --out FOLDER",
             "thaw export takes one run or weights file, and --out");
    TH_TRY(export(line->words[0], &options, err));
out:
    th_arena_close(&pool);
    return rc;
}
