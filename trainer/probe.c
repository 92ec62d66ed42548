#include "trainer/probe.h"

#include "base/file.h"
#include "checkpoint/copy.h"
#include "comm/agree.h"
#include "trainer/run.h"
#include "trainer/session.h"
#include "trainer/staging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FEWEST_STEPS  3 // the first of which is not counted
#define MOST_STEPS    24
#define STEPS_SECONDS 1.5 // enough steps for this long, within these limits
#define EVAL_RECORDS  128 // of each rank

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); // cannot fail with this clock
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

typedef struct {
    th_session           *session;
    th_forecast          *forecast;
    th_stage             *stages;   // of the schedule below
    th_schedule           schedule; // the run's, with caches in the scratch folder
    const char           *scratch;
    const th_probe_hooks *hooks;
    int                   caches; // folders used so far
} probe;

// One step as the run's loop makes it. The rate is zero, so the weights stay.
static th_code step_once(const probe *p, double *out_seconds, th_err *err)
{
    th_session     *session = p->session;
    uint32_t        stop = p->hooks->stop_asked();
    const th_batch *batch = NULL;
    th_step_result  result;
    double          start = now();
    th_code         rc = TH_OK;

    TH_TRY(th_agree(session->world, th_loader_next(session->loader, &batch, NULL, err), err));
    TH_TRY(th_agree_flags(session->world, stop, &stop, err));
    TH_CHECK(!stop, TH_ESTOP, "ask again", "stopped as asked");
    TH_TRY(th_step_gradient(session->step, batch, &result, err));
    TH_CHECK(result.finite, TH_EFAIL, "look at the data",
             "a step with the first weights had a loss or gradient that is not finite");
    th_adamw_update(&session->parameters, &session->adamw, session->row_rate, result.gradient_norm);
    *out_seconds = now() - start;
    TH_TRY(th_world_max(session->world, out_seconds, 1, err));
out:
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

// Mean of what lies between the quartiles: something else may have had the processor for a while.
static double typical(double *seconds, int count)
{
    double sum = 0;
    int    cut = count / 4;

    qsort(seconds, (size_t)count, sizeof *seconds, by_value);
    for (int i = cut; i < count - cut; i++)
        sum += seconds[i];
    return sum / (count - 2 * cut);
}

// Enters a stage at a step of it, as a run that was resumed there.
static th_code enter(probe *p, const th_forecast_stage *stage, const th_phase *phase, th_err *err)
{
    th_session *session = p->session;
    size_t      rows = (size_t)session->parameters.row_count;

    session->state.stage = stage->index;
    session->state.stage_step = phase->step;
    session->state.samples_seen = 0;
    memcpy(session->before, stage->before, rows * sizeof *session->before);
    for (size_t i = 0; i < rows; i++)
        session->parameters.step[i] = stage->moments[i];
    th_code rc = th_staging_enter(session, err);
    memset(session->row_rate, 0, rows * sizeof *session->row_rate);
    return rc;
}

// Seconds of a step, over steps of the records from the first one on, `most` at most.
static th_code time_steps(probe *p, int most, double *out_seconds, int *out_count, th_err *err)
{
    double  seconds[MOST_STEPS];
    int     count = FEWEST_STEPS;
    th_code rc = TH_OK;

    for (int i = 0; i < count; i++) {
        TH_TRY(step_once(p, &seconds[i], err));
        if (i == 1) { // by the first that is warm
            double wanted = STEPS_SECONDS / (seconds[1] > 1e-6 ? seconds[1] : 1e-6);
            count = wanted > most ? most : wanted < FEWEST_STEPS ? FEWEST_STEPS : (int)wanted;
        }
    }
    *out_seconds = typical(seconds + 1, count - 1);
    *out_count = count;
out:
    return rc;
}

// Steps in which every record is met for the first time, within our limits.
static int first_pass(const probe *p, const th_forecast_stage *stage)
{
    int64_t steps = p->forecast->records / p->stages[stage->index].options.batch;

    return steps > MOST_STEPS ? MOST_STEPS : steps < FEWEST_STEPS ? FEWEST_STEPS : (int)steps;
}

static th_code time_phase(probe *p, const th_forecast_stage *stage, th_phase *phase, th_err *err)
{
    char    folder[4096];
    int     count, pass = first_pass(p, stage);
    bool    cached = phase->cache[0].cache >= 0 || phase->cache[1].cache >= 0;
    th_code rc = TH_OK;

    // A folder of its own: the weights are the same in all stages, and so would the keys be.
    TH_CHECK((size_t)snprintf(folder, sizeof folder, "%s/cache-%d", p->scratch, p->caches++) <
                 sizeof folder,
             TH_EUSAGE, "set TMPDIR to a shorter path", "path \"%s\" is too long", p->scratch);
    p->stages[stage->index].options.cache_folder = folder;
    TH_TRY(enter(p, stage, phase, err));
    TH_TRY(time_steps(p, cached ? pass : MOST_STEPS, &phase->cold_s, &count, err));
    phase->warm_s = phase->cold_s;
    if (cached) { // the same records again; after a whole pass all are there
        TH_TRY(enter(p, stage, phase, err));
        TH_TRY(time_steps(p, count == pass ? MOST_STEPS : count, &phase->warm_s, &count, err));
    }
    // They write to the folder until they are closed, and the loader reads from them.
    th_loader_close(p->session->loader);
    p->session->loader = NULL;
    th_staging_close_caches(p->session);
out:
    p->stages[stage->index].options.cache_folder = NULL;
    return rc;
}

// The phases between two that were timed lie on the line.
static void lay_between(th_forecast_stage *stage, int from, int to)
{
    const th_phase *a = &stage->phases[from], *b = &stage->phases[to];

    for (int k = from + 1; k < to; k++) {
        double part = (double)(k - from) / (to - from);
        stage->phases[k].cold_s = (1 - part) * a->cold_s + part * b->cold_s;
        stage->phases[k].warm_s = (1 - part) * a->warm_s + part * b->warm_s;
    }
}

// The last phase but one has its turn too: from the top the last group is what stands before the
// blocks, which adds little, while each block before it added as much as the others.
static th_code time_stage(probe *p, th_forecast_stage *stage, th_err *err)
{
    int     last = stage->phase_count - 1, timed = 0;
    int     points[] = { last > 1 ? last - 1 : last, last };
    th_code rc = TH_OK;

    TH_TRY(time_phase(p, stage, &stage->phases[0], err));
    for (int i = 0; i < 2; i++) {
        if (points[i] <= timed)
            continue;
        TH_TRY(time_phase(p, stage, &stage->phases[points[i]], err));
        lay_between(stage, timed, points[i]);
        timed = points[i];
    }
out:
    return rc;
}

static th_code time_evaluation(probe *p, th_err *err)
{
    th_session    *session = p->session;
    int64_t        all = th_pack_describe(session->val)->records;
    int64_t        some = (int64_t)EVAL_RECORDS * session->world->size;
    th_features    features = { 0 };
    th_eval_report report;
    th_code        rc = TH_OK;

    some = some < all ? some : all;
    th_arena_rewind(&session->activations, 0);
    double start = now(), grow = (double)all / (double)some;
    TH_TRY(th_embed_records(session->world, &session->parameters, session->val, some,
                            &session->activations, &features, err));
    double embedded = now();
    TH_TRY(th_evaluate(session->world, &features, &session->parameters, session->options,
                       &session->activations, &report, err));
    p->forecast->evaluation_s = (embedded - start) * grow + (now() - embedded) * grow * grow;
    TH_TRY(th_world_max(session->world, &p->forecast->evaluation_s, 1, err));
out:
    th_features_free(&features);
    return rc;
}

// What training waits for when a checkpoint is taken: the copy.
static th_code time_snapshot(const probe *p, double *out_seconds, th_err *err)
{
    const th_session *session = p->session;
    th_snapshot       snapshot = { .state = session->state,
                                   .parameters = session->saved,
                                   .parameter_count = session->parameters.row_count,
                                   .config = session->in->config };
    th_copy           copy = { 0 };
    th_code           rc = TH_OK;

    TH_TRY(th_copy_open(&copy, &snapshot, err));
    th_copy_touch(&copy);
    double start = now();
    TH_TRY(th_copy_take(&copy, &snapshot, err));
    *out_seconds = now() - start;
out:
    th_copy_close(&copy);
    return rc;
}

static th_code time_all(probe *p, th_err *err)
{
    th_forecast *f = p->forecast;
    th_world    *world = p->session->world;
    th_code      rc = TH_OK;

    for (int i = 0; i < f->stage_count; i++) {
        th_forecast_stage *stage = &f->stages[i];
        p->hooks->begins(p->schedule.stages[stage->index].own.name);
        if (stage->problem.code == TH_OK)
            TH_TRY(time_stage(p, stage, err));
    }
    if (p->session->val && p->session->step)
        TH_TRY(time_evaluation(p, err));
    if (world->rank == 0 && p->session->saved)
        rc = time_snapshot(p, &f->snapshot_s, err);
    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_world_max(world, &f->snapshot_s, 1, err));
out:
    return rc;
}

// The run's schedule, with the caches of its stages where the probe says.
static th_code copy_schedule(probe *p, const th_schedule *from, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(
        th_alloc((size_t)from->stage_count, sizeof *p->stages, "stages", (void **)&p->stages, err));
    memcpy(p->stages, from->stages, (size_t)from->stage_count * sizeof *p->stages);
    for (int i = 0; i < from->stage_count; i++)
        p->stages[i].options.cache_folder = NULL;
    p->schedule = *from;
    p->schedule.stages = p->stages;
    p->schedule.options.cache_folder = NULL;
out:
    return rc;
}

th_code th_probe(th_world *world, const th_forecast_input *in, const char *scratch,
                 const th_probe_hooks *hooks, th_forecast *forecast, th_err *err)
{
    probe               p = { .forecast = forecast, .scratch = scratch, .hooks = hooks };
    struct th_run_input input = { .folder = scratch, .config = in->config };
    th_code             rc = TH_OK;

    TH_TRY(th_agree(world, copy_schedule(&p, in->schedule, err), err));
    input.schedule = &p.schedule;
    TH_TRY(th_session_open(world, &input, &p.session, err));
    TH_TRY(time_all(&p, err));
out:
    th_session_close(p.session);
    free(p.stages);
    return rc == TH_OK ? TH_OK : th_during(err, "probing the run's steps");
}
