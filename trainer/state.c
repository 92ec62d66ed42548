#include "trainer/state.h"

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"

#include <stdlib.h>
#include <string.h>

static th_saved_parameter describe_row(const th_parameters *parameters, int i)
{
    const th_parameter *row = &parameters->rows[i];
    bool                moments = row->trainable || parameters->step[i] > 0;
    th_saved_parameter  saved = { .model = { .name = row->name,
                                             .dimensions = row->dimensions,
                                             .data = parameters->weight + row->offset },
                                  .exp_avg = moments ? parameters->exp_avg + row->offset : NULL,
                                  .exp_avg_sq =
                                     moments ? parameters->exp_avg_sq + row->offset : NULL,
                                  .step = parameters->step[i] };

    memcpy(saved.model.shape, row->shape, sizeof saved.model.shape);
    return saved;
}

th_code th_state_describe(const th_parameters *parameters, th_saved_parameter **out, th_err *err)
{
    th_saved_parameter *saved = NULL;
    th_code             rc = TH_OK;

    TH_TRY(th_alloc((size_t)parameters->row_count, sizeof *saved, "checkpoint description",
                    (void **)&saved, err));
    for (int i = 0; i < parameters->row_count; i++)
        saved[i] = describe_row(parameters, i);
    *out = saved;
out:
    return rc;
}

th_code th_state_load(th_parameters *parameters, th_reader *reader, bool moments, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < parameters->row_count; i++) {
        th_saved_parameter wanted = describe_row(parameters, i);
        int64_t            step;
        bool               has_moments;
        if (!moments)
            wanted.exp_avg = wanted.exp_avg_sq = NULL;
        TH_TRY(th_reader_load(reader, &wanted, &step, &has_moments, err));
        parameters->step[i] = moments && has_moments ? step : 0;
    }
out:
    return rc;
}

// Rank 0's part of resuming.
static th_code load_newest(const char *folder, th_parameters *parameters, bool moments,
                           th_saved_state *state, bool *found, th_err *err)
{
    th_generation generation;
    th_reader    *reader = NULL;
    th_code       rc = TH_OK;

    TH_TRY(th_reader_open_newest(folder, &reader, &generation, err));
    *found = reader != NULL;
    if (!reader)
        goto out;
    TH_TRY(th_state_load(parameters, reader, moments, err));
    *state = *th_reader_state(reader);
    th_info("loaded %s", generation.name);
out:
    th_reader_close(reader);
    return rc;
}

th_code th_state_resume(th_world *world, const char *folder, th_parameters *parameters,
                        th_saved_state *out_state, bool *out_found, th_err *err)
{
    th_saved_state state = { 0 };
    bool           found = false;
    size_t         bytes = (size_t)parameters->elements * sizeof(th_real);
    th_code        rc = TH_OK;

    if (world->rank == 0)
        rc = load_newest(folder, parameters, true, &state, &found, err);
    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_world_broadcast(world, &found, sizeof found, 0, err));
    if (found) {
        TH_TRY(th_world_broadcast(world, &state, sizeof state, 0, err));
        TH_TRY(th_world_broadcast(world, parameters->weight, bytes, 0, err));
        TH_TRY(th_world_broadcast(world, parameters->exp_avg, bytes, 0, err));
        TH_TRY(th_world_broadcast(world, parameters->exp_avg_sq, bytes, 0, err));
        TH_TRY(th_world_broadcast(world, parameters->step,
                                  (size_t)parameters->row_count * sizeof *parameters->step, 0,
                                  err));
        *out_state = state;
    }
    *out_found = found;
out:
    return rc == TH_OK ? TH_OK : th_during(err, "looking for a checkpoint in \"%s\"", folder);
}

th_code th_state_open(const char *run_folder, const th_train_options *options, int64_t vocabulary,
                      th_parameters *out, int64_t *out_step, th_err *err)
{
    th_parameters   parameters = { 0 };
    th_model_config model;
    th_saved_state  state = { 0 };
    bool            found = false;
    char            folder[4096];
    th_code         rc = TH_OK;

    TH_CHECK(th_path_join(folder, sizeof folder, run_folder, "ckpt"), TH_EUSAGE,
             "use a shorter run_dir", "path \"%s/ckpt\" is too long", run_folder);
    TH_TRY(th_train_model(options, vocabulary, &model, err));
    TH_TRY(th_parameters_open(&model, &parameters, err));
    TH_TRY(load_newest(folder, &parameters, false, &state, &found, err));
    TH_CHECK(found, TH_EDATA, "train it first: thaw train", "run \"%s\" has no checkpoint",
             run_folder);
    *out = parameters;
    if (out_step)
        *out_step = state.step;
out:
    if (rc != TH_OK)
        th_parameters_close(&parameters);
    return rc;
}
