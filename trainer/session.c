#include "trainer/session.h"

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"

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
    TH_CHECK(options->batch <= train->records, TH_EUSAGE, "lower batch or pack more samples",
             "batch is %lld and pack \"%s\" has %lld samples", (long long)options->batch,
             options->train, (long long)train->records);
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
    TH_TRY(th_alloc((size_t)session->parameters.row_count, sizeof(double), "learning rates",
                    (void **)&session->factor, err));
    TH_TRY(th_alloc((size_t)session->parameters.row_count, sizeof(double), "learning rates",
                    (void **)&session->row_rate, err));
    TH_TRY(th_rate_factors(&session->parameters, &session->options->lr_factors,
                           session->options->lr, session->factor, err));
out:
    return rc;
}

static th_code lay_out_schedule(th_session *session, th_err *err)
{
    const th_train_options *o = session->options;
    int64_t                 batch = o->batch, records = session->records, warmup;
    th_code                 rc = TH_OK;

    session->rate = (th_rate){ .peak = o->lr, .floor = o->lr_floor };
    TH_TRY(th_span_steps("for", o->length, batch, records, &session->rate.total, err));
    TH_CHECK(session->rate.total >= 1, TH_EUSAGE, "set for: to steps, samples or epochs",
             "the run has no step");
    TH_TRY(th_span_steps("lr.warmup", o->warmup, batch, records, &warmup, err));
    session->rate.warmup = warmup;
    session->rate.shape = strcmp(o->lr_shape, "cosine") == 0   ? TH_RATE_COSINE
                          : strcmp(o->lr_shape, "linear") == 0 ? TH_RATE_LINEAR
                                                               : TH_RATE_CONSTANT;
    if (o->eval_every.unit != TH_NEVER)
        TH_TRY(
            th_span_steps("eval.every", o->eval_every, batch, records, &session->eval_steps, err));
    if (o->checkpoint_every.unit != TH_NEVER && o->checkpoint_every.unit != TH_SECONDS)
        TH_TRY(th_span_steps("checkpoint.every", o->checkpoint_every, batch, records,
                             &session->checkpoint_steps, err));
    session->adamw = (th_adamw){ .beta1 = o->betas.first,
                                 .beta2 = o->betas.second,
                                 .eps = o->eps,
                                 .weight_decay = o->weight_decay,
                                 .clip_norm = o->clip_norm };
out:
    return rc;
}

static th_code open_local(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(open_packs(session, err));
    TH_TRY(open_parameters(session, err));
    TH_TRY(lay_out_schedule(session, err));
out:
    return rc;
}

// What the memory budget leaves for activations, once weights, gradients, two moments, a snapshot
// (without gradients) and the features have theirs.
static th_code open_step(th_session *session, th_err *err)
{
    const th_train_options *o = session->options;
    const th_pack_info     *info = th_pack_describe(session->train);
    size_t                  table = (size_t)session->parameters.elements * sizeof(th_real);
    size_t  fixed = 7 * table + th_step_feature_bytes(session->world, o->batch, o->captions,
                                                      session->parameters.model.embed);
    size_t  budget = (size_t)o->memory_budget.count;
    th_code rc = TH_OK;

    TH_CHECK(budget > fixed, TH_EUSAGE, "raise memory_budget",
             "memory_budget is %.1f MiB, and weights, gradients, moments, a snapshot and features "
             "alone take %.1f MiB",
             (double)budget / 1048576, (double)fixed / 1048576);
    TH_TRY(th_arena_open(&session->activations, budget - fixed, err));
    th_step_options options = { .world = session->world,
                                .parameters = &session->parameters,
                                .batch = o->batch,
                                .captions = o->captions,
                                .micro_batch = o->micro_batch,
                                .activations = &session->activations,
                                .activation_bytes = budget - fixed };
    memcpy(options.mean, info->mean, sizeof options.mean);
    memcpy(options.deviation, info->deviation, sizeof options.deviation);
    TH_TRY(th_step_open(&options, &session->step, err));
out:
    return rc;
}

static th_code open_loader(th_session *session, th_err *err)
{
    const th_train_options *o = session->options;
    th_loader_options       options = {
              .pack = session->train,
              .order = { .seed = (uint64_t)o->seed,
                         .records = session->records,
                         .shuffled = strcmp(o->order, "shuffled") == 0 },
              .position = session->state.samples_seen,
              .batch = o->batch,
              .rank = session->world->rank,
              .world_size = session->world->size,
              .captions = o->captions,
              .size = session->parameters.model.image.size,
              .random_crop = strcmp(o->augment, "crop") == 0,
              .crop_scale = { o->crop_scale.first, o->crop_scale.second },
              .context = session->parameters.model.text.context,
              .threads = (int)o->loader_threads,
              .ahead = (int)o->loader_ahead,
              .bad_share = o->bad_share,
    };

    return th_loader_open(&options, &session->loader, err);
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
    TH_TRY(th_state_describe(&session->parameters, &session->saved, err));
    th_writer_options options = { .folder = folder,
                                  .keep = session->options->checkpoint_keep,
                                  .before_commit = flush_metrics,
                                  .context = session->metrics };
    th_snapshot       snapshot = snapshot_of(session);
    TH_TRY(th_writer_open(&options, &snapshot, &session->writer, err));
out:
    return rc;
}

static th_code begin_or_resume(th_session *session, const char *folder, th_err *err)
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
    } else {
        th_parameters_init(&session->parameters, (uint64_t)session->options->seed);
    }
    if (session->world->rank == 0 && found)
        th_info("going on at step %lld of %lld, %lld samples seen", (long long)session->state.step,
                (long long)session->rate.total, (long long)session->state.samples_seen);
out:
    return rc;
}

// Compute threads of this rank. A rank that was bound to some of the host's cores takes these;
// ranks that were not share the cores.
static int threads_of(const th_session *session)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), mine = omp_get_num_procs();

    if (session->options->threads > 0)
        return (int)session->options->threads;
    if (mine >= cores)
        mine = cores / th_world_host_ranks(session->world);
    return mine > 1 ? mine : 1;
}

th_code th_session_open(th_world *world, const struct th_run_input *in, th_session **out,
                        th_err *err)
{
    th_session *session = NULL;
    char        folder[4096];
    th_code     rc = TH_OK;

    rc = th_alloc(1, sizeof *session, "run", (void **)&session, err);
    TH_TRY(th_agree(world, rc, err));
    session->world = world;
    session->in = in;
    session->options = in->options;
    omp_set_num_threads(threads_of(session));
    TH_CHECK(th_path_join(folder, sizeof folder, in->folder, "ckpt"), TH_EUSAGE,
             "use a shorter run_dir", "path \"%s/ckpt\" is too long", in->folder);

    TH_TRY(th_agree(world, open_local(session, err), err));
    TH_TRY(check_same_job(session, err));
    TH_TRY(begin_or_resume(session, folder, err));
    rc = open_step(session, err);
    if (rc == TH_OK)
        rc = open_loader(session, err);
    if (rc == TH_OK && world->rank == 0)
        rc = open_writers(session, folder, err);
    TH_TRY(th_agree(world, rc, err));
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
    th_arena_close(&session->activations);
    th_parameters_close(&session->parameters);
    th_pack_close(session->train);
    th_pack_close(session->val);
    free(session->saved);
    free(session->factor);
    free(session->row_rate);
    free(session);
}

th_code th_session_save(th_session *session, th_err *err)
{
    th_code rc = TH_OK;

    if (session->writer) {
        session->state.metrics_bytes = th_metrics_bytes(session->metrics);
        for (int i = 0; i < session->parameters.row_count; i++)
            session->saved[i].step = session->parameters.step[i];
        th_snapshot snapshot = snapshot_of(session);
        rc = th_writer_save(session->writer, &snapshot, err);
    }
    return th_agree(session->world, rc, err);
}

th_code th_session_finish(th_session *session, th_err *err)
{
    th_code rc = session->writer ? th_writer_wait(session->writer, err) : TH_OK;

    return th_agree(session->world, rc, err);
}

double th_session_logit_scale(const th_session *session)
{
    return (double)*th_weight(&session->parameters, session->parameters.row_count - 1);
}
