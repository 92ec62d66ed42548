#include "launch/trained_model.h"

#include "base/file.h"
#include "launch/run_directory.h"
#include "launch/weights_config.h"
#include "trainer/state.h"

#define POOL_BYTES   ((size_t)4 << 20)
#define PASSES_BYTES ((size_t)64 << 30) // address space: only what a pass touches is backed

static th_code check_pack(const th_pack_info *info, const char *data, int64_t size,
                          int64_t vocabulary, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(info->size == size, TH_EUSAGE, "pack it with the model's --size",
             "pack \"%s\" has pictures of %lld pixels, and the model of %lld", data,
             (long long)info->size, (long long)size);
    TH_CHECK(info->vocabulary == vocabulary, TH_EUSAGE, "pack it with the weights' tokenizer",
             "pack \"%s\" has a vocabulary of %lld tokens, and the model of %lld", data,
             (long long)info->vocabulary, (long long)vocabulary);
out:
    return rc;
}

static th_code open_run(const char *run_folder, const char *data, th_trained_model *model,
                        th_err *err)
{
    th_schedule         schedule;
    th_pack            *trained_on = NULL;
    const th_pack_info *info, *trained_info;
    th_code             rc = TH_OK;

    TH_TRY(th_run_directory_schedule(run_folder, &schedule, &model->pool, err));
    model->options = schedule.options;
    TH_TRY(th_pack_open(model->options.train, &trained_on, err));
    if (!data)
        data = model->options.val ? model->options.val : model->options.train;
    TH_TRY(th_pack_open(data, &model->pack, err));
    info = th_pack_describe(model->pack);
    trained_info = th_pack_describe(trained_on);
    TH_CHECK(info->tokenizer_hash == trained_info->tokenizer_hash, TH_EUSAGE,
             "pack it with --tokenizer and the run's train pack",
             "pack \"%s\" has another tokenizer than the run's \"%s\"", data, model->options.train);
    TH_TRY(check_pack(info, data, trained_info->size, trained_info->vocabulary, err));
    TH_TRY(th_state_open(run_folder, &model->options, info->vocabulary, &model->parameters,
                         &model->step, err));
out:
    th_pack_close(trained_on);
    return rc;
}

// How pictures are prepared for weights that have no pack.
static void set_pixels(const th_weights_about *about, th_pack_info *out)
{
    const th_pixels *pixels = about->pixels.known ? &about->pixels : &th_pixels_clip;

    *out = (th_pack_info){
        .size = about->model.image.size, .filter = "bicubic", .alpha = "white", .exif = "ignore"
    };
    for (int i = 0; i < 3; i++) {
        out->mean[i] = (float)pixels->mean[i];
        out->deviation[i] = (float)pixels->deviation[i];
    }
}

static th_code open_weights(const char *path, const char *data, th_trained_model *model,
                            th_err *err)
{
    th_option_set    set = { th_train_table, th_train_table_count, &model->options };
    th_weights      *weights = NULL;
    th_weights_about about;
    th_code          rc = TH_OK;

    TH_TRY(th_options_default(&set, 1, &model->pool, err));
    TH_TRY(th_weights_open(path, &weights, err));
    TH_TRY(th_weights_describe(weights, &about, err));
    if (data) {
        TH_TRY(th_pack_open(data, &model->pack, err));
        TH_TRY(check_pack(th_pack_describe(model->pack), data, about.model.image.size,
                          about.model.text.vocabulary, err));
    }
    set_pixels(&about, &model->pixels);
    TH_TRY(th_parameters_open(&about.model, &model->parameters, err));
    TH_TRY(th_weights_load(weights, &model->parameters, TH_WHOLE_MODEL, err));
    model->step = th_weights_step(weights);
out:
    th_weights_close(weights);
    return rc;
}

th_code th_trained_model_open_bare(const char *run_or_weights, const char *data,
                                   th_trained_model *out, th_err *err)
{
    th_trained_model model = { 0 };
    char             path[4096];
    th_code          rc = TH_OK;

    TH_TRY(th_arena_open(&model.pool, POOL_BYTES, err));
    TH_TRY(th_arena_open(&model.passes, PASSES_BYTES, err));
    if (th_path_join(path, sizeof path, run_or_weights, "config.resolved.yaml") &&
        th_path_exists(path))
        TH_TRY(open_run(run_or_weights, data, &model, err));
    else
        TH_TRY(open_weights(run_or_weights, data, &model, err));
    if (model.pack)
        model.pixels = *th_pack_describe(model.pack);
    *out = model;
out:
    if (rc != TH_OK)
        th_trained_model_close(&model);
    return rc;
}

th_code th_trained_model_open(const char *run_or_weights, const char *data, th_trained_model *out,
                              th_err *err)
{
    th_trained_model model = { 0 };
    th_code          rc = TH_OK;

    TH_TRY(th_trained_model_open_bare(run_or_weights, data, &model, err));
    TH_CHECK(model.pack, TH_EUSAGE, "name one with --data", "weights have no pack of their own");
    *out = model;
out:
    if (rc != TH_OK)
        th_trained_model_close(&model);
    return rc;
}

void th_trained_model_close(th_trained_model *model)
{
    th_parameters_close(&model->parameters);
    th_pack_close(model->pack);
    th_arena_close(&model->passes);
    th_arena_close(&model->pool);
}
