#include "trainer/foresight.h"

#include "trainer/schedule/stage_state.h"
#include "trainer/staging.h"

#include <stdlib.h>
#include <string.h>

// Where the walk along the stages stands.
typedef struct {
    th_session *session;
    bool       *touched;   // [row_count] may have changed when the stage begins
    bool        wanted[2]; // rows of the tower would be kept
} walk;

// The table as stage i has it after `step` of its steps.
static th_code set_stage(walk *at, int i, int64_t step, th_err *err)
{
    th_session     *session = at->session;
    const th_stage *stage = &session->in->schedule->stages[i];
    th_parameters  *p = &session->parameters;
    th_code         rc = TH_OK;

    TH_TRY(th_stage_rows(stage, p, session->records, session->before, step, session->trains,
                         session->thawed, err));
    session->options = &stage->options;
    for (int g = 0; g < p->group_count; g++)
        p->groups[g].trainable = false;
    for (int r = 0; r < p->row_count; r++) {
        p->rows[r].trainable = session->trains[r];
        p->groups[p->rows[r].group].trainable |= session->trains[r];
    }
out:
    return rc;
}

static bool touched_below(const walk *at, th_tower tower)
{
    const th_parameters *p = &at->session->parameters;
    int                  cut = th_tower_cut(p, tower);

    for (int r = 0; r < p->row_count; r++)
        if (p->rows[r].tower == tower && p->groups[p->rows[r].group].depth < cut && at->touched[r])
            return true;
    return false;
}

static th_code judge(walk *at, th_foreseen *out, th_err *err)
{
    char    folder[4096];
    th_code rc = TH_OK;

    for (int t = 0; t < 2; t++) {
        th_tower                tower = t == 0 ? TH_IMAGE : TH_TEXT_TOWER;
        th_frozen_cache_options options;
        TH_TRY(th_staging_cache_options(at->session, tower, folder, sizeof folder, &options, err));
        at->wanted[t] = th_frozen_cache_row_bytes(&options) > 0;
        out->tower[t] = at->wanted[t] && !touched_below(at, tower);
    }
out:
    return rc;
}

// To the start of stage i + 1, from stage i with the table at its start.
static th_code leave_stage(walk *at, int i, th_err *err)
{
    th_session *session = at->session;
    int64_t     steps;
    th_code     rc = TH_OK;

    TH_TRY(th_stage_steps(&session->in->schedule->stages[i], &session->parameters, session->records,
                          session->before, &steps, err));
    // All that gradual unfreezing can have reached, as the check of the schedule has it.
    TH_TRY(set_stage(at, i, steps > 0 ? steps - 1 : INT64_MAX, err));
    for (int r = 0; r < session->parameters.row_count; r++)
        at->touched[r] |= session->trains[r];
    memcpy(session->before, session->trains,
           (size_t)session->parameters.row_count * sizeof *session->before);
out:
    return rc;
}

static th_code check_name(const th_session *session, const char *name, th_err *err)
{
    const th_schedule *schedule = session->in->schedule;
    int                i = 0;
    th_code            rc = TH_OK;

    if (!name)
        goto out;
    while (i < schedule->stage_count && strcmp(schedule->stages[i].own.name, name) != 0)
        i++;
    TH_CHECK(i < schedule->stage_count, TH_EUSAGE, "see the names in the run file",
             "there is no stage \"%s\"", name);
    TH_CHECK(i >= session->state.stage, TH_EUSAGE,
             "name the stage that the run is in, or one that is to come",
             "stage \"%s\" is over: the run is in stage \"%s\"", name,
             schedule->stages[session->state.stage].own.name);
out:
    return rc;
}

// Why nothing of the last stage looked at can be computed.
static th_code refuse(const walk *at, const char *name, th_err *err)
{
    const th_train_options *o = at->session->options;
    th_code                 rc = TH_OK;

    TH_CHECK(name, TH_EUSAGE, "see docs/cache.md for what can be kept",
             "no stage from here on has a frozen tower whose rows can be computed now");
    TH_CHECK(!at->wanted[0] && !at->wanted[1], TH_EUSAGE,
             "train up to that stage first, then the weights are known",
             "what is frozen in stage \"%s\" still trains in a stage before it", name);
    TH_CHECK(o->cache_budget.count > 0, TH_EUSAGE, "set cache.budget", "cache.budget is 0");
    TH_CHECK(strcmp(o->augment, "crop") != 0 || o->views > 0 ||
                 th_tower_cut(&at->session->parameters, TH_IMAGE) == 0,
             TH_EUSAGE, "set data.views, so that there is a number of crops to compute",
             "stage \"%s\" has a new random crop of each picture in each epoch", name);
    TH_FAIL(TH_EUSAGE, "see docs/cache.md for what can be kept",
            "stage \"%s\" has no frozen tower whose rows can be kept", name);
out:
    return rc;
}

th_code th_foresee_frozen(th_session *session, const char *name, th_foreseen *out, th_err *err)
{
    const th_schedule *schedule = session->in->schedule;
    th_foreseen        found = { 0 };
    walk               at = { .session = session };
    th_trigger         trigger = { 0 };
    int                first = (int)session->state.stage;
    th_code            rc = TH_OK;

    TH_TRY(check_name(session, name, err));
    TH_TRY(th_alloc((size_t)session->parameters.row_count, sizeof *at.touched, "trained rows",
                    (void **)&at.touched, err));
    TH_TRY(th_stage_state_read(session->state.trigger, session->before,
                               session->parameters.row_count, &trigger, err));
    for (int i = first; i < schedule->stage_count; i++) {
        TH_TRY(set_stage(&at, i, i == first ? session->state.stage_step : 0, err));
        TH_TRY(judge(&at, &found, err));
        found.stage = i;
        bool here = name ? strcmp(schedule->stages[i].own.name, name) == 0 : true;
        if (here && (found.tower[0] || found.tower[1])) {
            *out = found;
            goto out;
        }
        if (here && name)
            break;
        TH_TRY(leave_stage(&at, i, err));
    }
    rc = refuse(&at, name, err);
out:
    free(at.touched);
    return rc;
}
