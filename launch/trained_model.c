#include "launch/trained_model.h"

#include "launch/run_directory.h"
#include "trainer/state.h"

#define POOL_BYTES   ((size_t)4 << 20)
#define PASSES_BYTES ((size_t)64 << 30) // address space: only what a pass touches is backed

th_code th_trained_model_open(const char *run_folder, const char *data, th_trained_model *out,
                              th_err *err)
{
    th_trained_model    model = { 0 };
    th_schedule         schedule;
    th_pack            *trained_on = NULL;
    const th_pack_info *info, *trained_info;
    th_code             rc = TH_OK;

    TH_TRY(th_arena_open(&model.pool, POOL_BYTES, err));
    TH_TRY(th_arena_open(&model.passes, PASSES_BYTES, err));
    TH_TRY(th_run_directory_schedule(run_folder, &schedule, &model.pool, err));
    model.options = schedule.options;
    TH_TRY(th_pack_open(model.options.train, &trained_on, err));
    if (!data)
        data = model.options.val ? model.options.val : model.options.train;
    TH_TRY(th_pack_open(data, &model.pack, err));
    info = th_pack_describe(model.pack);
    trained_info = th_pack_describe(trained_on);
    TH_CHECK(info->tokenizer_hash == trained_info->tokenizer_hash, TH_EUSAGE,
             "pack it with --tokenizer and the run's train pack",
             "pack \"%s\" has another tokenizer than the run's \"%s\"", data, model.options.train);
    TH_CHECK(info->size == trained_info->size, TH_EUSAGE, "pack it with the run's --size",
             "pack \"%s\" has pictures of %lld pixels, and the run's of %lld", data,
             (long long)info->size, (long long)trained_info->size);
    TH_TRY(th_state_open(run_folder, &model.options, info->vocabulary, &model.parameters,
                         &model.step, err));
    *out = model;
out:
    th_pack_close(trained_on);
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
