#include "trainer/status.h"

#include "base/file.h"
#include "base/log.h"
#include "trainer/group_rates.h"
#include "trainer/group_run.h"
#include "trainer/staging.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INTERVAL_SECONDS 1.0

static double now(clockid_t clock)
{
    struct timespec time;

    (void)clock_gettime(clock, &time); // cannot fail with these clocks
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// What is to be said of a group.
typedef struct {
    const char *state;
    int64_t     parameters, trainable;
    double      least, greatest; // rates of what trains
    int64_t     warm;            // steps of its warm-up that are done, when it is warming
} group_state;

static group_state look_at(const th_session *session, int group)
{
    const th_parameters *p = &session->parameters;
    const th_group *this = &p->groups[group];
    group_state state = { .state = "frozen" };

    for (int i = this->first_row; i < this->first_row + this->row_count; i++) {
        int64_t since = session->state.stage_step - session->thawed[i];
        state.parameters += p->rows[i].count;
        if (!p->rows[i].trainable)
            continue;
        state.trainable += p->rows[i].count;
        bool warming = session->thawed[i] > 0 && since < session->thaw_warmup;
        if (strcmp(state.state, "warming") != 0)
            state.state = warming ? "warming" : "trained";
        state.warm = warming ? since : state.warm;
    }
    (void)th_group_rates(p, session->row_rate, group, &state.least, &state.greatest);
    return state;
}

static bool alike(const void *context, int group, int other)
{
    group_state a = look_at(context, group), b = look_at(context, other);

    return a.state == b.state && a.least == b.least && a.greatest == b.greatest &&
           a.warm == b.warm && (a.trainable == a.parameters) == (b.trainable == b.parameters);
}

// A run of groups: {"groups": "image.blocks[0:9]", "state": "frozen", "parameters": 2359296, ...}
static json_t *describe_run(const th_session *session, int first, int end, const char *name)
{
    group_state state = look_at(session, first);
    int64_t     parameters = 0, trainable = 0;

    for (int g = first; g < end; g++) {
        group_state of = look_at(session, g);
        parameters += of.parameters;
        trainable += of.trainable;
    }
    json_t *run =
        json_pack("{s:s, s:s, s:I, s:I}", "groups", name, "state", state.state, "parameters",
                  (json_int_t)parameters, "trainable", (json_int_t)trainable);
    if (trainable > 0) {
        json_t *rate = state.least == state.greatest
                           ? json_real(state.least)
                           : json_pack("[f, f]", state.least, state.greatest);
        (void)json_object_set_new(run, "lr", rate);
    }
    if (strcmp(state.state, "warming") == 0) {
        (void)json_object_set_new(run, "warmup_step", json_integer(state.warm));
        (void)json_object_set_new(run, "warmup_steps", json_integer(session->thaw_warmup));
    }
    return run;
}

static json_t *describe_groups(const th_session *session)
{
    json_t *list = json_array();
    char    name[TH_GROUP_RUN_NAME];

    for (int g = 0, end; g < session->parameters.group_count; g = end) {
        end = th_group_run(&session->parameters, g, alike, session, name);
        (void)json_array_append_new(list, describe_run(session, g, end, name));
    }
    return list;
}

static json_t *describe_tower(const th_session *session, th_tower tower)
{
    const th_parameters *p = &session->parameters;
    json_int_t           parameters = 0, trainable = 0;

    for (int i = 0; i < p->row_count; i++) {
        if (p->rows[i].tower != tower)
            continue;
        parameters += p->rows[i].count;
        trainable += p->rows[i].trainable ? p->rows[i].count : 0;
    }
    return json_pack("{s:I, s:I}", "parameters", parameters, "trainable", trainable);
}

// JSON has no NaN and no infinity, and a length that is not known is none.
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *length(int64_t steps)
{
    return steps > 0 ? json_integer(steps) : json_null();
}

// The last step's numbers; a run that has just begun has none.
static void add_newest(const th_session *session, json_t *to)
{
    const th_step_report *newest = &session->newest;

    if (newest->step == 0)
        return;
    (void)json_object_set_new(to, "loss", number(newest->loss));
    (void)json_object_set_new(to, "grad_norm", number(newest->grad_norm));
    (void)json_object_set_new(to, "seconds_per_step", number(newest->seconds));
    (void)json_object_set_new(to, "samples_per_second",
                              number((double)newest->batch / newest->seconds));
}

static json_t *describe(th_session *session, th_status status, const th_err *why)
{
    static const char *const states[] = { "training", "stopped", "done", "failed" };
    const th_saved_state    *state = &session->state;
    const th_schedule       *schedule = session->in->schedule;
    double                   rate = th_staging_rates(session);

    json_t *stage =
        json_pack("{s:s, s:I, s:i, s:I, s:o}", "name", schedule->stages[state->stage].own.name,
                  "number", (json_int_t)state->stage + 1, "of", schedule->stage_count, "step",
                  (json_int_t)state->stage_step, "steps", length(session->trigger.most));
    json_t *all =
        json_pack("{s:s, s:I, s:i, s:I, s:o, s:I, s:f, s:o, s:f, s:o, s:o, s:o}", "state",
                  states[status], "time", (json_int_t)now(CLOCK_REALTIME), "ranks",
                  session->world->size, "step", (json_int_t)state->step, "steps",
                  length(session->total_steps), "samples_seen", (json_int_t)state->samples_seen,
                  "epoch", (double)state->samples_seen / (double)session->records, "stage", stage,
                  "lr", rate, "image", describe_tower(session, TH_IMAGE), "text",
                  describe_tower(session, TH_TEXT_TOWER), "groups", describe_groups(session));
    if (!all)
        return NULL;
    add_newest(session, all);
    if (why)
        (void)json_object_set_new(all, "error", json_string(why->what));
    return all;
}

static th_code write_status(th_session *session, th_status status, const th_err *why, th_err *err)
{
    char    path[4096], *text = NULL;
    json_t *json = NULL;
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, session->in->folder, TH_STATUS_FILE), TH_EUSAGE,
             "use a shorter run_dir", "path \"%s/%s\" is too long", session->in->folder,
             TH_STATUS_FILE);
    json = describe(session, status, why);
    text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    TH_CHECK(text, TH_EIO, "free some memory", "could not write \"%s\": no memory", path);
    TH_TRY(th_file_replace_unflushed(path, text, strlen(text), err));
out:
    free(text);
    json_decref(json);
    return rc;
}

void th_status_write(th_session *session, th_status status, const th_err *why)
{
    th_err err = { 0 };

    if (session->world->rank != 0)
        return;
    session->status_at = now(CLOCK_MONOTONIC);
    bool failed = write_status(session, status, why, &err) != TH_OK;
    if (failed && !session->status_failed) // once, not every second of a full disk
        th_log_error(TH_WARN, &err);
    session->status_failed = failed;
}

void th_status_follow(th_session *session)
{
    if (now(CLOCK_MONOTONIC) - session->status_at >= INTERVAL_SECONDS)
        th_status_write(session, TH_STATUS_TRAINING, NULL);
}
