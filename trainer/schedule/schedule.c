/* trainer/schedule/schedule.c - the stages as a whole. */
#include "trainer/schedule/stage.h"

#include "trainer/scalars.h"
#include "trainer/schedule/trigger.h"

#include <stdlib.h>
#include <string.h>

// The fallbacks of th_stage_table, so that a run that is given stages later has the same first one.
void th_schedule_single(th_schedule *schedule, th_stage *room)
{
    *room = (th_stage){ .options = schedule->options,
                        .own = { .name = "all",
                                 .train = "all",
                                 .unfreeze_from = "top",
                                 .image = { .from = "top" },
                                 .text = { .from = "top" },
                                 .moments = "auto",
                                 .rate_over = "stage",
                                 .patience = 3,
                                 .below = -1e300,
                                 .above = 1e300 } };
    schedule->stages = room;
    schedule->stage_count = 1;
    schedule->single = true;
}

static bool thaws_gradually(const th_stage_options *own)
{
    return own->unfreeze_every.amount > 0 || own->image.every.amount > 0 ||
           own->text.every.amount > 0;
}

// What a stage says of the groups that train.
static th_code check_groups(const th_stage_options *own, th_err *err)
{
    const char *fix = "see docs/stages.md";
    th_code     rc = TH_OK;

    TH_CHECK(own->train || own->unfreeze || own->freeze || thaws_gradually(own), TH_EUSAGE,
             "add train:, unfreeze: or freeze:", "it does not say what trains");
    TH_CHECK((own->unfreeze_every.amount > 0) == (own->unfreeze_tower != NULL), TH_EUSAGE, fix,
             "unfreeze.tower and unfreeze.one_group_every go together");
    const th_thaw *own_way =
        own->unfreeze_tower && strcmp(own->unfreeze_tower, "image") == 0 ? &own->image : &own->text;
    TH_CHECK(!own->unfreeze_tower || own_way->every.amount == 0, TH_EUSAGE, "leave one of them",
             "unfreeze.tower and unfreeze.%s both say how that tower thaws", own->unfreeze_tower);
    for (int k = 0; k < own->layer_decay.count; k++) {
        const struct th_map_row *decay = &own->layer_decay.rows[k];
        TH_CHECK(strcmp(decay->key, "image") == 0 || strcmp(decay->key, "text") == 0, TH_EUSAGE,
                 "write layer_decay: {image: 0.75}", "layer_decay has no tower \"%s\"", decay->key);
        TH_CHECK(decay->amount > 0 && decay->amount <= 1, TH_EUSAGE,
                 "write layer_decay: {image: 0.75}",
                 "layer_decay of %s is %g: it must be above 0, and 1 at most", decay->key,
                 decay->amount);
    }
out:
    return rc;
}

static th_code check_metric(const th_stage *stage, const char *metric, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_scalar_find(metric), TH_EUSAGE,
             "wait for train/loss, or another number of the run's metrics.jsonl",
             "it waits for \"%s\", which no run has", metric);
    if (strncmp(metric, "val/", 4) != 0)
        goto out;
    TH_CHECK(stage->options.val, TH_EUSAGE, "set data.val, or watch train/loss",
             "it waits for %s, and there is no data.val", metric);
    TH_CHECK(stage->options.eval_every.amount > 0, TH_EUSAGE, "set eval.every, or watch train/loss",
             "it waits for %s, and eval.every is never", metric);
out:
    return rc;
}

// What a stage says of its end. `steps`: th_stage_steps.
static th_code check_end(const th_stage *stage, int64_t records, int64_t steps, th_err *err)
{
    const th_stage_options *own = &stage->own;
    th_trigger              trigger = { 0 };
    th_code                 rc = TH_OK;

    TH_CHECK((own->below > -1e300 || own->above < 1e300) == (own->metric != NULL), TH_EUSAGE,
             "write until: {metric: val/loss, below: 2.0}",
             "until.metric goes with until.below or until.above");
    TH_CHECK(steps > 0 || own->plateau || own->metric, TH_EUSAGE, "add for: or until:",
             thaws_gradually(own) ? "it has no end: there is nothing left to thaw"
                                  : "it has no end");
    if (own->plateau)
        TH_TRY(check_metric(stage, own->plateau, err));
    if (own->metric)
        TH_TRY(check_metric(stage, own->metric, err));
    TH_TRY(th_trigger_limits(stage, records, steps, &trigger, err));
    TH_CHECK(trigger.least == 0 || own->plateau || own->metric, TH_EUSAGE,
             "add until.plateau or until.metric, or write for:",
             "until.min goes with until.plateau or until.metric");
    TH_CHECK(steps == 0 || trigger.least <= steps, TH_EUSAGE, "lower until.min",
             "until.min is %lld steps and its end is at %lld", (long long)trigger.least,
             (long long)steps);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "checking stage \"%s\"", own->name);
}

// A metric of a tower's gradient has a value only while that tower trains. `trains`: the set at the
// stage's end, which holds all that trains in it.
static th_code check_gradient(const th_stage *stage, const th_parameters *parameters,
                              const bool *trains, th_err *err)
{
    const char *const metrics[] = { stage->own.plateau, stage->own.metric };
    th_code           rc = TH_OK;

    for (int k = 0; k < 2; k++) {
        const th_scalar *scalar = metrics[k] ? th_scalar_find(metrics[k]) : NULL;
        int              row = 0, rows = parameters->row_count;
        if (!scalar || scalar->tower < 0)
            continue;
        while (row < rows && !(trains[row] && (int)parameters->rows[row].tower == scalar->tower))
            row++;
        TH_CHECK(row < rows, TH_EUSAGE, "watch a metric of what trains",
                 "it waits for %s, and nothing of that tower trains in it", metrics[k]);
    }
out:
    return rc == TH_OK ? TH_OK : th_during(err, "checking stage \"%s\"", stage->own.name);
}

// What can be told before the set that it starts from is known.
static th_code check_start(const th_schedule *schedule, int i, int64_t records, th_err *err)
{
    const th_stage *stage = &schedule->stages[i];
    th_code         rc = TH_OK;

    for (int k = 0; k < i; k++)
        TH_CHECK(strcmp(schedule->stages[k].own.name, stage->own.name) != 0, TH_EUSAGE,
                 "give each a name of its own", "another stage has that name");
    TH_TRY(check_groups(&stage->own, err));
    TH_CHECK(stage->options.batch <= records, TH_EUSAGE, "lower batch or pack more samples",
             "batch is %lld and the pack has %lld samples", (long long)stage->options.batch,
             (long long)records);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "checking stage \"%s\"", stage->own.name);
}

// Walks the stages with the set that each starts from. *out_steps as th_schedule_steps.
static th_code walk(const th_schedule *schedule, const th_parameters *parameters, int64_t records,
                    bool check, int64_t *out_steps, th_err *err)
{
    bool    *before = NULL, *trains = NULL;
    int64_t *thawed = NULL, sum = 0, steps;
    size_t   rows = (size_t)parameters->row_count;
    bool     known = true;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc(rows, sizeof *before, "trainable rows", (void **)&before, err));
    TH_TRY(th_alloc(rows, sizeof *trains, "trainable rows", (void **)&trains, err));
    TH_TRY(th_alloc(rows, sizeof *thawed, "thawed rows", (void **)&thawed, err));
    for (int i = 0; i < schedule->stage_count; i++) {
        const th_stage *stage = &schedule->stages[i];
        if (check)
            TH_TRY(check_start(schedule, i, records, err));
        TH_TRY(th_stage_rows(stage, parameters, records, before, 0, trains, thawed, err));
        TH_TRY(th_stage_steps(stage, parameters, records, before, &steps, err));
        if (check)
            TH_TRY(check_end(stage, records, steps, err));
        // The set at the stage's end: all that its gradual unfreezing can have reached.
        TH_TRY(th_stage_rows(stage, parameters, records, before, steps > 0 ? steps - 1 : INT64_MAX,
                             trains, thawed, err));
        if (check)
            TH_TRY(check_gradient(stage, parameters, trains, err));
        memcpy(before, trains, rows * sizeof *before);
        known = known && steps > 0;
        sum += steps;
    }
    *out_steps = known ? sum : 0;
out:
    free(before);
    free(trains);
    free(thawed);
    return rc;
}

th_code th_schedule_check(const th_schedule *schedule, const th_parameters *parameters,
                          int64_t records, th_err *err)
{
    int64_t steps;

    return walk(schedule, parameters, records, true, &steps, err);
}

th_code th_schedule_steps(const th_schedule *schedule, const th_parameters *parameters,
                          int64_t records, int64_t *out, th_err *err)
{
    return walk(schedule, parameters, records, false, out, err);
}

// Does this row's tower thaw group by group in a stage?
static bool may_thaw(const th_stage_options *own, th_tower tower)
{
    const char *name = tower == TH_IMAGE ? "image" : tower == TH_TEXT_TOWER ? "text" : "";

    return (own->unfreeze_tower && strcmp(own->unfreeze_tower, name) == 0) ||
           (tower == TH_IMAGE && own->image.every.amount > 0) ||
           (tower == TH_TEXT_TOWER && own->text.every.amount > 0);
}

static bool may_train(const th_stage *stage, const th_parameters *parameters, int row)
{
    const th_stage_options *own = &stage->own;

    if (may_thaw(own, parameters->rows[row].tower))
        return true;
    if (own->freeze && th_stage_selects(own->freeze, parameters, row))
        return false;
    return (own->train && th_stage_selects(own->train, parameters, row)) ||
           (own->unfreeze && th_stage_selects(own->unfreeze, parameters, row));
}

bool th_schedule_trains_later(const th_schedule *schedule, int i, const th_parameters *parameters,
                              int row)
{
    if (may_thaw(&schedule->stages[i].own, parameters->rows[row].tower))
        return true;
    for (int k = i + 1; k < schedule->stage_count; k++)
        if (may_train(&schedule->stages[k], parameters, row))
            return true;
    return false;
}

bool th_schedule_keeps_moments(const th_schedule *schedule, int i, const th_parameters *parameters,
                               int row)
{
    const char *moments = schedule->stages[i].own.moments;

    if (strcmp(moments, "auto") != 0)
        return strcmp(moments, "keep") == 0;
    return th_schedule_trains_later(schedule, i, parameters, row);
}
