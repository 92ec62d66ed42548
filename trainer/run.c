/* trainer/run.c - the loop of a run: read, step, write down, evaluate, commit, stop. */
#include "trainer/run.h"

#include "base/hash.h"
#include "base/log.h"
#include "comm/agree.h"
#include "trainer/group_rates.h"
#include "trainer/scalars.h"
#include "trainer/session.h"
#include "trainer/staging.h"
#include "trainer/status.h"

#include <math.h>
#include <time.h>

#define MOST_SKIPPED_IN_ROW 10

// What a rank may say at the top of a step; all act on what any has said.
enum { STOP_ASKED = 1, CHECKPOINT_DUE = 2, BATCH_FAILED = 4 };

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); // cannot fail with this clock
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool checkpoint_due(const th_session *session)
{
    th_span every = session->options->checkpoint_every;

    if (session->saved_step == session->state.step)
        return false;
    switch (every.unit) {
    case TH_SECONDS:
        return session->world->rank == 0 && now() - session->saved_at >= every.amount;
    case TH_NEVER:
        return false;
    default:
        return session->checkpoint_steps > 0 &&
               session->state.step % session->checkpoint_steps == 0;
    }
}

static th_code save(th_session *session, double *out_seconds, th_err *err)
{
    double  start = now();
    th_code rc = th_session_save(session, err);

    session->saved_step = session->state.step;
    session->saved_at = now();
    *out_seconds = session->saved_at - start;
    return rc;
}

// What the stage's trigger may wait for: all that goes into metrics.jsonl.
static void see_step(th_trigger *trigger, const th_step_report *report)
{
    double value;

    for (int i = 0; i < th_step_scalar_count; i++)
        if (th_step_scalar(&th_step_scalars[i], report, &value))
            th_trigger_see(trigger, th_step_scalars[i].name, value);
}

static void see_evaluation(th_trigger *trigger, const th_eval_report *report)
{
    for (int i = 0; i < th_eval_scalar_count; i++)
        th_trigger_see(trigger, th_eval_scalars[i].name,
                       th_eval_scalar(&th_eval_scalars[i], report));
}

static th_code evaluate(th_session *session, th_err *err)
{
    const th_run_hooks *hooks = &session->in->hooks;
    th_features         features = { 0 };
    th_eval_report      report;
    th_code             rc = TH_OK;

    th_arena_rewind(&session->activations, 0);
    TH_TRY(th_embed_pack(session->world, &session->parameters, session->val, &session->activations,
                         &features, err));
    TH_TRY(th_evaluate(session->world, &features, &session->parameters, session->options,
                       &session->activations, &report, err));
    report.step = session->state.step;
    see_evaluation(&session->trigger, &report);
    if (session->metrics)
        rc = th_metrics_eval(session->metrics, &report, err);
    TH_TRY(th_agree(session->world, rc, err));
    if (hooks->on_eval)
        hooks->on_eval(hooks->context, &report);
out:
    th_features_free(&features);
    return rc;
}

// Updates the weights, or skips the step when its loss or gradient is not finite: that is the same
// on all ranks. Ten in a row end the run.
static th_code update(th_session *session, const th_step_result *result, th_err *err)
{
    th_saved_state *state = &session->state;
    th_code         rc = TH_OK;

    if (result->finite) {
        session->trained = th_adamw_update(&session->parameters, &session->adamw, session->row_rate,
                                           result->gradient_norm);
        state->skipped_in_row = 0;
    } else {
        // Not what the last update left here: a run that goes on at this step has made none.
        session->trained = th_squares_of(&session->parameters, session->parameters.weight, true);
        state->skipped++;
        state->skipped_in_row++;
        if (session->world->rank == 0)
            th_alarm(
                "step %lld: the %s is not finite, so no rank updates (%lld such steps, %lld in a "
                "row)",
                (long long)state->step + 1, isfinite(result->loss) ? "gradient" : "loss",
                (long long)state->skipped, (long long)state->skipped_in_row);
    }
    state->step++;
    state->stage_step++;
    state->samples_seen += session->options->batch;
    TH_CHECK(state->skipped_in_row < MOST_SKIPPED_IN_ROW, TH_EFAIL,
             "lower optimizer.lr, lengthen lr.warmup, or look at the data of these steps",
             "%d steps in a row had a loss or gradient that is not finite, up to step %lld",
             MOST_SKIPPED_IN_ROW, (long long)state->step);
out:
    return rc;
}

// Norms of the towers and rates of groups. The rates are of the update; norms of weights, after it.
static void report_towers(const th_session *session, const th_step_result *result,
                          th_step_report *report)
{
    for (int t = 0; t < 2; t++) {
        report->trains[t] = th_parameters_tower_trains(&session->parameters, t);
        report->tower_grad_norm[t] = sqrt(result->gradient.of[t]);
        report->tower_param_norm[t] = sqrt(session->frozen.of[t] + session->trained.of[t]);
    }
    th_group_rates_print(&session->parameters, session->row_rate, report->lr, session->group_rates,
                         th_group_rates_room(&session->parameters));
    report->group_rates = session->group_rates;
}

// One step and its line in metrics.jsonl. `start` is when this step began to wait for its batch.
static th_code train_step(th_session *session, const th_batch *batch, th_step_report *report,
                          double start, th_err *err)
{
    const th_run_hooks *hooks = &session->in->hooks;
    double              rate = th_staging_rates(session);
    th_step_result      result;
    th_code             rc = TH_OK, failed;

    TH_TRY(th_step_gradient(session->step, batch, &result, err));
    failed = update(session, &result, err);
    report->step = session->state.step;
    report->total_steps = session->total_steps;
    report->stage = session->in->schedule->stages[session->state.stage].own.name;
    report->stage_number = session->state.stage + 1;
    report->batch = session->options->batch;
    report->samples_seen = session->state.samples_seen;
    report->epoch = (double)report->samples_seen / (double)session->records;
    report->loss = result.loss;
    report->grad_norm = result.gradient_norm;
    report->logit_scale = th_session_logit_scale(session);
    report->lr = rate;
    report->skipped = !result.finite;
    report_towers(session, &result, report);
    see_step(&session->trigger, report);
    report->seconds = now() - start;
    session->state.seconds += report->seconds;
    if (session->metrics) {
        th_err lost;
        rc = th_metrics_step(session->metrics, report, failed == TH_OK ? err : &lost);
    }
    session->newest = *report;
    if (hooks->on_step)
        hooks->on_step(hooks->context, report);
    rc = failed != TH_OK ? failed : rc;
out:
    return rc;
}

// One number for which samples, in which view, stood where in the global batch: the same on any
// number of ranks. It is a sum over the samples, in two halves of 28 bits that doubles add up
// exactly to 2^25 samples.
static th_code log_samples(th_session *session, const th_batch *batch, th_err *err)
{
    double  halves[2] = { 0 };
    th_code rc = TH_OK;

    for (int64_t i = 0; i < batch->n; i++) {
        int64_t  place[3] = { batch->position + i, batch->records[i], batch->views[i] };
        uint64_t hash = th_hash(place, sizeof place);
        halves[0] += (double)(hash & 0xfffffff);
        halves[1] += (double)(hash >> 28 & 0xfffffff);
    }
    TH_TRY(th_world_sum(session->world, halves, 2, err));
    if (session->world->rank == 0)
        th_debug("step %lld: samples %.0f-%.0f", (long long)session->state.step + 1, halves[0],
                 halves[1]);
out:
    return rc;
}

static bool evaluation_due(const th_session *session)
{
    if (!session->val || session->eval_steps == 0)
        return false;
    return session->state.stage_step % session->eval_steps == 0 || th_staging_ends(session);
}

// From the top of one step to the top of the next. *out_stop: someone was asked to stop.
static th_code advance(th_session *session, bool *out_stop, bool *out_done, th_err *err)
{
    const th_run_hooks *hooks = &session->in->hooks;
    double              start = now();
    th_step_report      report = { 0 };
    const th_batch     *batch = NULL;
    uint32_t            flags = 0;
    th_code             rc = TH_OK, read;

    read = th_loader_next(session->loader, &batch, &report.data_seconds, err);
    flags |= read != TH_OK ? BATCH_FAILED : 0;
    flags |= hooks->stop_asked && hooks->stop_asked(hooks->context) ? STOP_ASKED : 0;
    flags |= checkpoint_due(session) ? CHECKPOINT_DUE : 0;
    TH_TRY(th_agree_flags(session->world, flags, &flags, read == TH_OK ? err : &(th_err){ 0 }));
    if (flags & BATCH_FAILED)
        TH_TRY(th_agree(session->world, read, err));
    if (flags & (CHECKPOINT_DUE | STOP_ASKED) && session->saved_step != session->state.step)
        TH_TRY(save(session, &report.checkpoint_seconds, err));
    *out_stop = flags & STOP_ASKED;
    if (*out_stop)
        goto out;
    TH_TRY(log_samples(session, batch, err));
    rc = th_agree(session->world, train_step(session, batch, &report, start, err), err);
    TH_TRY(th_session_save_before(session, rc));
    if (evaluation_due(session))
        TH_TRY(evaluate(session, err));
    TH_TRY(th_staging_follow(session, out_done, err));
    th_status_follow(session);
out:
    return rc;
}

// What status.json says of a run that ends, in order or not.
static void tell_the_end(th_session *session, th_code rc, const th_err *err)
{
    if (rc == TH_OK)
        th_status_write(session, TH_STATUS_DONE, NULL);
    else if (rc == TH_ESTOP)
        th_status_write(session, TH_STATUS_STOPPED, NULL);
    else
        th_status_write(session, TH_STATUS_FAILED, err);
}

th_code th_run(th_world *world, const struct th_run_input *in, th_err *err)
{
    th_session *session = NULL;
    bool        stop = false, done = false;
    double      seconds;
    th_code     rc = TH_OK;

    TH_TRY(th_session_open(world, in, &session, err));
    session->saved_at = now();
    th_status_write(session, TH_STATUS_TRAINING, NULL);
    if (th_staging_ends(session)) // a run that was complete, to which a stage may have been added
        TH_TRY(th_staging_follow(session, &done, err));
    while (!done && !stop)
        TH_TRY(advance(session, &stop, &done, err));
    if (session->saved_step != session->state.step)
        TH_TRY(save(session, &seconds, err));
    TH_TRY(th_session_finish(session, err));
    if (stop)
        rc = th_fail(err, TH_ESTOP, "run the same command again to go on", __FILE__, __LINE__,
                     "stopped as asked at step %lld", (long long)session->state.step);
out:
    if (session)
        tell_the_end(session, rc, err);
    th_session_close(session);
    return rc;
}
