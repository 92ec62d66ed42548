#include "trainer/options.h"

#include <math.h>
#include <string.h>

#define OPT(label, field, ...) TH_OPTION(th_train_options, label, field, __VA_ARGS__)

// Sorted by name, as th_options_check demands.
const th_option th_train_table[] = {
    OPT("batch", batch, .fallback = "256", .unit = "samples", .min = 1, .max = 1 << 24,
        .when = TH_PER_STAGE, .since = "0.1", .help = "global batch: samples per step, all ranks"),
    OPT("cache.budget", cache_budget, .fallback = "10 GB", .max = 1e18, .when = TH_PER_START,
        .since = "0.2",
        .help =
            "disk for what frozen towers make of each sample, computed once; 0 B: none is kept"),
    OPT("cache.folder", cache_folder, .when = TH_PER_START, .since = "0.2",
        .help = "where it is kept, to be shared by runs; by default cache/ in the run directory"),
    OPT("captions", captions, .fallback = "1", .unit = "captions", .min = 1, .max = 64,
        .when = TH_PER_STAGE, .since = "0.1",
        .help = "captions drawn per sample and step: K text passes against one image pass"),
    OPT("checkpoint.every", checkpoint_every, .fallback = "30 min", .when = TH_PER_START,
        .since = "0.1", .help = "time or steps between checkpoints; the last step always has one"),
    OPT("checkpoint.keep", checkpoint_keep, .fallback = "3", .unit = "generations", .min = 2,
        .max = 1000, .when = TH_PER_START, .since = "0.1", .help = "generations kept"),
    OPT("data.ahead", loader_ahead, .fallback = "2", .unit = "batches", .min = 1, .max = 64,
        .when = TH_PER_START, .since = "0.1", .help = "batches read ahead"),
    OPT("data.augment", augment, .fallback = "none", .choices = "none crop", .when = TH_PER_STAGE,
        .since = "0.1", .help = "crop: a random resized crop of each picture, else the centre"),
    OPT("data.bad_share", bad_share, .fallback = "0.01", .max = 1, .when = TH_PER_START,
        .since = "0.1", .help = "share of damaged records above which the run stops"),
    OPT("data.crop_scale", crop_scale, .fallback = "[0.9, 1.0]", .max = 1, .when = TH_PER_STAGE,
        .since = "0.1", .help = "share of the picture's area that a random crop takes"),
    OPT("data.order", order, .fallback = "shuffled", .choices = "shuffled sequential",
        .when = TH_PER_RUN, .since = "0.1", .help = "order of the samples"),
    OPT("data.threads", loader_threads, .fallback = "1", .unit = "threads", .min = 1, .max = 256,
        .when = TH_PER_START, .since = "0.1", .help = "threads per rank that read and decode"),
    OPT("data.train", train, .required = true, .when = TH_PER_RUN, .since = "0.1",
        .help = "pack to train on"),
    OPT("data.val", val, .when = TH_PER_RUN, .since = "0.1",
        .help = "pack to evaluate on; without one nothing is evaluated"),
    OPT("data.views", views, .fallback = "0", .unit = "views", .max = 1 << 16, .when = TH_PER_STAGE,
        .since = "0.2",
        .help =
            "random crops of a picture that epochs draw from, so that a frozen tower's features "
            "of them are kept; 0: a new crop each epoch, kept by no cache"),
    OPT("eval.every", eval_every, .fallback = "1 epoch", .when = TH_PER_STAGE, .since = "0.1",
        .help = "steps, samples or epochs between evaluations; the last step always has one"),
    OPT("for", length, .fallback = "10 epochs", .when = TH_PER_STAGE, .since = "0.1",
        .help = "length of the training: steps, samples or epochs"),
    OPT("init.from", init_from, .when = TH_PER_RUN, .since = "0.2",
        .help = "weights to start from: a folder of open_clip or Hugging Face, a run, or a .h5 or "
                ".safetensors file"),
    OPT("init.image", init_image, .when = TH_PER_RUN, .since = "0.2",
        .help = "the same for the image tower alone"),
    OPT("init.text", init_text, .when = TH_PER_RUN, .since = "0.2",
        .help = "the same for the text tower alone"),
    OPT("loss.kind", loss, .fallback = "softmax", .choices = "softmax sigmoid", .when = TH_PER_RUN,
        .since = "0.2",
        .help = "CLIP's loss over rows and columns, or SigLIP's over pairs (`loss:` for short)"),
    OPT("loss.mask_duplicates", mask_duplicates, .fallback = "false", .when = TH_PER_STAGE,
        .since = "0.2",
        .help = "a caption that another sample of the batch has too is no negative of it"),
    OPT("lr.*", lr_factors, .when = TH_PER_STAGE, .since = "0.1",
        .help = "learning rate of the parameters that a pattern selects: 1e-5, or 16x the rate"),
    OPT("lr.floor", lr_floor, .fallback = "0", .max = 1, .when = TH_PER_STAGE, .since = "0.1",
        .help = "learning rate at which cosine and linear end"),
    OPT("lr.shape", lr_shape, .fallback = "cosine", .choices = "constant cosine linear",
        .when = TH_PER_STAGE, .since = "0.1", .help = "learning rate after the warm-up"),
    OPT("lr.warmup", warmup, .fallback = "0 steps", .when = TH_PER_STAGE, .since = "0.1",
        .help = "length of the linear warm-up"),
    OPT("memory_budget", memory_budget, .fallback = "8 GiB", .min = 1 << 20, .max = 1e15,
        .when = TH_PER_START, .since = "0.1",
        .help = "memory per rank; the activations that do not fit are computed again"),
    OPT("micro_batch", micro_batch, .fallback = "0", .unit = "samples", .max = 1 << 20,
        .when = TH_PER_START, .since = "0.1",
        .help = "samples in one forward pass; 0: as many as the memory budget holds"),
    OPT("model.activation", activation, .choices = "gelu quick_gelu", .when = TH_PER_RUN,
        .since = "0.1", .help = "activation of the MLPs; by default that of init.*, else gelu"),
    OPT("model.embed", embed, .fallback = "0", .max = 16384, .when = TH_PER_RUN, .since = "0.1",
        .help = "width of a feature; 0: the preset's"),
    OPT("model.image.heads", image_heads, .fallback = "0", .max = 1024, .when = TH_PER_RUN,
        .since = "0.1", .help = "attention heads of the image tower; 0: the preset's"),
    OPT("model.image.layers", image_layers, .fallback = "0", .max = 256, .when = TH_PER_RUN,
        .since = "0.1", .help = "blocks of the image tower; 0: the preset's"),
    OPT("model.image.patch", image_patch, .fallback = "0", .unit = "pixels", .max = 1024,
        .when = TH_PER_RUN, .since = "0.1", .help = "side of a patch; 0: the preset's"),
    OPT("model.image.size", image_size, .fallback = "0", .unit = "pixels", .max = 4096,
        .when = TH_PER_RUN, .since = "0.1", .help = "side of the picture; 0: the preset's"),
    OPT("model.image.width", image_width, .fallback = "0", .max = 16384, .when = TH_PER_RUN,
        .since = "0.1", .help = "width of the image tower; 0: the preset's"),
    OPT("model.preset", preset, .choices = "ViT-B-32 ViT-B-16 ViT-L-14 tiny", .when = TH_PER_RUN,
        .since = "0.1",
        .help = "a known model, whose sizes hold where none is set; by default ViT-B-32, and with "
                "init.* the weights' sizes"),
    OPT("model.text.context", text_context, .fallback = "0", .unit = "tokens", .max = 1024,
        .when = TH_PER_RUN, .since = "0.1", .help = "longest caption; 0: the preset's"),
    OPT("model.text.heads", text_heads, .fallback = "0", .max = 1024, .when = TH_PER_RUN,
        .since = "0.1", .help = "attention heads of the text tower; 0: the preset's"),
    OPT("model.text.kind", text_kind, .choices = "clip bert", .when = TH_PER_RUN, .since = "0.2",
        .help = "clip: CLIP's causal transformer; bert: an encoder as BERT; by default that of "
                "init.*, else clip"),
    OPT("model.text.layers", text_layers, .fallback = "0", .max = 256, .when = TH_PER_RUN,
        .since = "0.1", .help = "blocks of the text tower; 0: the preset's"),
    OPT("model.text.pool", text_pool, .fallback = "auto", .choices = "auto cls mean",
        .when = TH_PER_RUN, .since = "0.2",
        .help =
            "a caption's feature in bert: of its first token (cls) or the mean of all; auto: that "
            "of init.*, else cls"),
    OPT("model.text.width", text_width, .fallback = "0", .max = 16384, .when = TH_PER_RUN,
        .since = "0.1", .help = "width of the text tower; 0: the preset's"),
    OPT("optimizer.betas", betas, .fallback = "[0.9, 0.98]", .max = 0.999999, .when = TH_PER_STAGE,
        .since = "0.1", .help = "AdamW's decay of the two moments"),
    OPT("optimizer.clip_norm", clip_norm, .fallback = "1.0", .max = 1e9, .when = TH_PER_STAGE,
        .since = "0.1", .help = "largest norm of the whole gradient; 0: no clipping"),
    OPT("optimizer.decay_positions", decay_positions, .fallback = "false", .when = TH_PER_STAGE,
        .since = "0.2", .help = "weight decay of embeddings of positions too, as open_clip has it"),
    OPT("optimizer.eps", eps, .fallback = "1e-6", .min = 1e-30, .max = 1, .when = TH_PER_STAGE,
        .since = "0.1", .help = "AdamW's epsilon"),
    OPT("optimizer.lr", lr, .fallback = "5e-4", .max = 10, .when = TH_PER_STAGE, .since = "0.1",
        .help = "peak learning rate"),
    OPT("optimizer.weight_decay", weight_decay, .fallback = "0.2", .max = 10, .when = TH_PER_STAGE,
        .since = "0.1", .help = "decoupled weight decay"),
    OPT("run_dir", run_dir, .when = TH_PER_START, .since = "0.1",
        .help = "run directory; by default runs/ and the run file's name"),
    OPT("seed", seed, .fallback = "1", .max = 9e15, .when = TH_PER_RUN, .since = "0.1",
        .help = "key of every random draw"),
    OPT("threads", threads, .fallback = "0", .unit = "threads", .max = 1024, .when = TH_PER_START,
        .since = "0.1",
        .help = "compute threads per rank; 0: the host's cores shared by its ranks"),
};
const int th_train_table_count = sizeof th_train_table / sizeof *th_train_table;

// Sizes as open_clip's model configurations of the same names have them; `tiny` is for benchmarks.
static const struct preset {
    const char     *name;
    th_image_config image;
    th_text_config  text; // the vocabulary is the pack's
    int64_t         embed;
} presets[] = {
    { "ViT-B-32",
      { 224, 32, 768, 12, 12 },
      { .context = 77, .width = 512, .layers = 12, .heads = 8 },
      512 },
    { "ViT-B-16",
      { 224, 16, 768, 12, 12 },
      { .context = 77, .width = 512, .layers = 12, .heads = 8 },
      512 },
    { "ViT-L-14",
      { 224, 14, 1024, 24, 16 },
      { .context = 77, .width = 768, .layers = 12, .heads = 12 },
      768 },
    { "tiny", { 64, 8, 192, 6, 3 }, { .context = 77, .width = 192, .layers = 4, .heads = 3 }, 128 },
};

static int64_t set_or(int64_t value, int64_t otherwise)
{
    return value ? value : otherwise;
}

static th_pool pool_of(const th_train_options *options, bool bert)
{
    if (strcmp(options->text_pool, "mean") == 0)
        return TH_POOL_MEAN;
    return bert || strcmp(options->text_pool, "cls") == 0 ? TH_POOL_FIRST : TH_POOL_END;
}

th_code th_train_model(const th_train_options *options, int64_t vocabulary, th_model_config *out,
                       th_err *err)
{
    const struct preset *preset = options->preset ? NULL : &presets[0];
    bool                 bert = options->text_kind && strcmp(options->text_kind, "bert") == 0;
    th_code              rc = TH_OK;

    for (size_t i = 0; !preset && i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, options->preset) == 0)
            preset = &presets[i];
    TH_CHECK(preset, TH_EUSAGE, "see thaw help train", "unknown model.preset \"%s\"",
             options->preset);

    th_model_config model = {
        .image = { .size = set_or(options->image_size, preset->image.size),
                   .patch = set_or(options->image_patch, preset->image.patch),
                   .width = set_or(options->image_width, preset->image.width),
                   .layers = set_or(options->image_layers, preset->image.layers),
                   .heads = set_or(options->image_heads, preset->image.heads) },
        .text = { .context = set_or(options->text_context, preset->text.context),
                  .vocabulary = vocabulary,
                  .width = set_or(options->text_width, preset->text.width),
                  .layers = set_or(options->text_layers, preset->text.layers),
                  .heads = set_or(options->text_heads, preset->text.heads),
                  .kind = bert ? TH_TEXT_BERT : TH_TEXT_CLIP,
                  .pool = pool_of(options, bert),
                  .types = bert ? 2 : 0 },
        .embed = set_or(options->embed, preset->embed),
        .activation = options->activation && strcmp(options->activation, "quick_gelu") == 0
                          ? TH_QUICK_GELU
                          : TH_GELU,
        .logit_bias = options->loss && strcmp(options->loss, "sigmoid") == 0,
    };
    TH_TRY(th_model_check(&model, err));
    *out = model;
out:
    return rc;
}

void th_train_set_model(th_train_options *options, const th_model_config *model)
{
    options->preset = NULL;
    options->image_size = model->image.size;
    options->image_patch = model->image.patch;
    options->image_width = model->image.width;
    options->image_layers = model->image.layers;
    options->image_heads = model->image.heads;
    options->text_context = model->text.context;
    options->text_width = model->text.width;
    options->text_layers = model->text.layers;
    options->text_heads = model->text.heads;
    options->text_kind = model->text.kind == TH_TEXT_BERT ? "bert" : "clip";
    options->text_pool = model->text.kind != TH_TEXT_BERT   ? "auto"
                         : model->text.pool == TH_POOL_MEAN ? "mean"
                                                            : "cls";
    options->embed = model->embed;
    options->activation = model->activation == TH_QUICK_GELU ? "quick_gelu" : "gelu";
}

th_code th_span_steps(const char *name, th_span span, int64_t batch, int64_t records, int64_t *out,
                      th_err *err)
{
    double  steps = 0;
    th_code rc = TH_OK;

    switch (span.unit) {
    case TH_STEPS:
        steps = span.amount;
        break;
    case TH_SAMPLES:
        steps = span.amount / (double)batch;
        break;
    case TH_EPOCHS:
        steps = span.amount * (double)records / (double)batch;
        break;
    case TH_SECONDS:
    case TH_NEVER:
        TH_FAIL(TH_EUSAGE, "write for instance \"500 steps\" or \"2 epochs\"",
                "option %s must be in steps, samples or epochs", name);
    }
    TH_CHECK(steps <= 1e15, TH_EUSAGE, "write a shorter one", "option %s is too long: %g steps",
             name, steps);
    *out = span.amount > 0 && steps < 1 ? 1 : (int64_t)floor(steps);
out:
    return rc;
}
