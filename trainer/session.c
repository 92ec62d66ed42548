#include "trainer/session.h"

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "trainer/group_rates.h"
#include "trainer/initial_weights.h"
#include "trainer/staging.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static th_code open_packs(th_session *session, th_err *err)
{
    const th_train_options *options = session->options;
    const th_pack_info     *train, *val;
    th_code                 rc = TH_OK;

    TH_TRY(th_pack_open(options->train, &session->train, err));
    train = th_pack_describe(session->train);
    session->records = train->records;
    if (options->val) {
        TH_TRY(th_pack_open(options->val, &session->val, err));
        val = th_pack_describe(session->val);
        TH_CHECK(val->tokenizer_hash == train->tokenizer_hash, TH_EUSAGE,
                 "pack data.val with --tokenizer and the train pack",
                 "packs \"%s\" and \"%s\" have different tokenizers", options->train, options->val);
        TH_CHECK(val->size == train->size, TH_EUSAGE, "pack both with the same --size",
                 "packs \"%s\" and \"%s\" have pictures of %lld and %lld pixels", options->train,
                 options->val, (long long)train->size, (long long)val->size);
    }
out:
    return rc;
}

static th_code check_same_job(th_session *session, th_err *err)
{
    const struct th_run_input *in = session->in;
    th_fact                    facts[4] = {
                           { "program", in->program_hash, "install the same build of thaw on every node" },
                           { "configuration", in->config_hash, "start every rank with the same run file and options" },
                           { "pack data.train", th_pack_hash(session->train), "give every node the same pack" },
                           { "pack data.val", session->val ? th_pack_hash(session->val) : 0,
                             "give every node the same pack" },
    };

    return th_agree_same(session->world, facts, 4, err);
}

static th_code open_parameters(th_session *session, th_err *err)
{
    const th_pack_info *info = th_pack_describe(session->train);
    th_model_config     model;
    th_code             rc = TH_OK;

    TH_TRY(th_train_model(session->options, info->vocabulary, &model, err));
    TH_CHECK(model.image.size == info->size, TH_EUSAGE,
             "pack again with that --size, or set model.image.size to the pack's",
             "model.image.size is %lld and pack \"%s\" has pictures of %lld pixels",
             (long long)model.image.size, session->options->train, (long long)info->size);
    TH_TRY(th_parameters_open(&model, &session->parameters, err));
    size_t rows = (size_t)session->parameters.row_count;
    TH_TRY(th_alloc(rows, sizeof(double), "learning rates", (void **)&session->factor, err));
    TH_TRY(th_alloc(rows, sizeof(double), "learning rates", (void **)&session->row_rate, err));
    TH_TRY(th_alloc(th_group_rates_room(&session->parameters), 1, "learning rates",
                    (void **)&session->group_rates, err));
    TH_TRY(th_alloc(rows, sizeof(bool), "trainable rows", (void **)&session->before, err));
    TH_TRY(th_alloc(rows, sizeof(bool), "trainable rows", (void **)&session->trains, err));
    TH_TRY(th_alloc(rows, sizeof(int64_t), "thawed rows", (void **)&session->thawed, err));
out:
    return rc;
}

static th_code open_local(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(open_packs(session, err));
    TH_TRY(open_parameters(session, err));
    TH_TRY(th_schedule_check(session->in->schedule, &session->parameters, session->records, err));
    TH_TRY(
        th_arena_open(&session->activations, (size_t)session->options->memory_budget.count, err));
out:
    return rc;
}

static th_snapshot snapshot_of(const th_session *session)
{
    return (th_snapshot){ .state = session->state,
                          .parameters = session->saved,
                          .parameter_count = session->parameters.row_count,
                          .config = session->in->config };
}

static th_code flush_metrics(void *context, th_err *err)
{
    return th_metrics_flush(context, err);
}

// Rank 0 writes down what was computed.
static th_code open_writers(th_session *session, const char *folder, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(
        th_metrics_open(session->in->folder, session->state.metrics_bytes, &session->metrics, err));
    th_writer_options options = { .folder = folder,
                                  .keep = session->options->checkpoint_keep,
                                  .before_commit = flush_metrics,
                                  .context = session->metrics };
    th_snapshot       snapshot = snapshot_of(session);
    TH_TRY(th_writer_open(&options, &snapshot, &session->writer, err));
out:
    return rc;
}

// Weights and state of the newest good generation, or those of a new run.
static th_code resume_or_begin(th_session *session, const char *folder, th_err *err)
{
    bool    found;
    th_code rc = TH_OK;

    session->saved_step = -1;
    session->state = (th_saved_state){ .seed = (uint64_t)session->options->seed,
                                       .world_size = session->world->size };
    TH_TRY(th_state_resume(session->world, folder, &session->parameters, &session->state, &found,
                           err));
    if (found) {
        session->saved_step = session->state.step;
        session->state.world_size = session->world->size;
        TH_CHECK(session->state.stage < session->in->schedule->stage_count, TH_EUSAGE,
                 "put the stages back into the run file",
                 "the checkpoint is in stage %lld, and the run file has %d",
                 (long long)session->state.stage + 1, session->in->schedule->stage_count);
    } else {
        TH_TRY(th_initial_weights(session->world, session->options,
                                  th_pack_describe(session->train), &session->parameters, err));
    }
out:
    return rc;
}

static th_code enter(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_staging_enter(session, err));
    if (session->world->rank == 0 && session->saved_step >= 0)
        th_info("going on at step %lld, %lld samples seen, in stage \"%s\"",
                (long long)session->state.step, (long long)session->state.samples_seen,
                session->in->schedule->stages[session->state.stage].own.name);
out:
    return rc;
}

int th_session_threads(const th_train_options *options, int host_ranks)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), mine = omp_get_num_procs();

    if (options->threads > 0)
        return (int)options->threads;
    if (mine >= cores)
        mine = cores / host_ranks;
    return mine > 1 ? mine : 1;
}

static th_code checkpoints_of(const struct th_run_input *in, char *out, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(out, size, in->folder, "ckpt"), TH_EUSAGE, "use a shorter run_dir",
             "path \"%s/ckpt\" is too long", in->folder);
out:
    return rc;
}

th_code th_session_open_weights(th_world *world, const struct th_run_input *in, th_session **out,
                                th_err *err)
{
    th_session *session = NULL;
    char        folder[4096];
    th_code     rc = TH_OK;

    rc = th_alloc(1, sizeof *session, "run", (void **)&session, err);
    TH_TRY(th_agree(world, rc, err));
    session->world = world;
    session->in = in;
    session->options = &in->schedule->options;
    omp_set_num_threads(th_session_threads(session->options, th_world_host_ranks(world)));
    TH_TRY(checkpoints_of(in, folder, sizeof folder, err));
    TH_TRY(th_agree(world, open_local(session, err), err));
    TH_TRY(check_same_job(session, err));
    TH_TRY(resume_or_begin(session, folder, err));
    *out = session;
out:
    if (rc != TH_OK)
        th_session_close(session);
    return rc;
}

th_code th_session_open(th_world *world, const struct th_run_input *in, th_session **out,
                        th_err *err)
{
    th_session *session = NULL;
    char        folder[4096];
    th_code     rc = TH_OK;

    TH_TRY(th_session_open_weights(world, in, &session, err));
    TH_TRY(checkpoints_of(in, folder, sizeof folder, err));
    TH_TRY(enter(session, err));
    if (world->rank == 0)
        rc = open_writers(session, folder, err);
    TH_TRY(th_agree(world, rc, err));
    if (session->saved_step < 0) // a resumed run has said so
        TH_TRY(th_staging_begin(session, err));
    *out = session;
out:
    if (rc != TH_OK)
        th_session_close(session);
    return rc;
}

void th_session_close(th_session *session)
{
    if (!session)
        return;
    th_writer_close(session->writer); // first: it flushes the metrics
    th_metrics_close(session->metrics);
    th_loader_close(session->loader);
    th_step_close(session->step);
    th_staging_close_caches(session);
    th_arena_close(&session->activations);
    th_parameters_close(&session->parameters);
    th_pack_close(session->train);
    th_pack_close(session->val);
    free(session->saved);
    free(session->factor);
    free(session->row_rate);
    free(session->group_rates);
    free(session->before);
    free(session->trains);
    free(session->thawed);
    free(session);
}

th_code th_session_save(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    for (int t = 0; t < 2; t++)
        if (session->cache[t])
            th_feature_cache_flush(session->cache[t]);
    if (session->writer) {
        session->state.metrics_bytes = th_metrics_bytes(session->metrics);
        rc = th_staging_remember(session, err);
        for (int i = 0; i < session->parameters.row_count; i++)
            session->saved[i].step = session->parameters.step[i];
        th_snapshot snapshot = snapshot_of(session);
        if (rc == TH_OK)
            rc = th_writer_save(session->writer, &snapshot, err);
    }
    return th_agree(session->world, rc, err);
}

th_code th_session_finish(th_session *session, th_err *err)
{
    th_code rc = session->writer ? th_writer_wait(session->writer, err) : TH_OK;

    return th_agree(session->world, rc, err);
}

th_code th_session_save_before(th_session *session, th_code code)
{
    th_err  why = { 0 };
    th_code rc = TH_OK;

    // Of step 0 there is nothing to save.
    if (code != TH_EUSAGE || session->saved_step == session->state.step || session->state.step == 0)
        return code;
    rc = th_session_save(session, &why);
    session->saved_step = session->state.step;
    if (rc == TH_OK)
        rc = th_session_finish(session, &why);
    if (session->world->rank == 0 && rc == TH_OK)
        th_info("step %lld is saved: the run can go on from here", (long long)session->state.step);
    else if (rc != TH_OK)
        th_log_error(TH_ALARM, &why);
    return code;
}

double th_session_logit_scale(const th_session *session)
{
    return (double)*th_weight(&session->parameters, session->parameters.logit_scale);
}
