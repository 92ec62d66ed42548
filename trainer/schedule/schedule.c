/* trainer/schedule/schedule.c - the stages as a whole. */
#include "trainer/schedule/stage.h"

#include <stdlib.h>
#include <string.h>

void th_schedule_single(th_schedule *schedule, th_stage *room)
{
    *room = (th_stage){ .options = schedule->options,
                        .own = { .name = "all",
                                 .train = "all",
                                 .moments = "auto",
                                 .rate_over = "stage",
                                 .below = -1e300,
                                 .above = 1e300 } };
    schedule->stages = room;
    schedule->stage_count = 1;
    schedule->single = true;
}

static th_code check_stage(const th_schedule *schedule, int i, const th_parameters *parameters,
                           int64_t records, th_err *err)
{
    const th_stage         *stage = &schedule->stages[i];
    const th_stage_options *own = &stage->own;
    const char             *fix = "see thaw help stages";
    bool                    gradual =
        own->unfreeze_every.amount > 0 || own->image.every.amount > 0 || own->text.every.amount > 0;
    int64_t steps;
    th_code rc = TH_OK;

    TH_CHECK(own->train || own->unfreeze || own->freeze || gradual, TH_EUSAGE,
             "add train:, unfreeze: or freeze:", "it does not say what trains");
    TH_CHECK(!own->unfreeze_every.amount == !own->unfreeze_tower, TH_EUSAGE, fix,
             "unfreeze.tower and unfreeze.one_group_every go together");
    for (int k = 0; k < own->layer_decay.count; k++)
        TH_CHECK(strcmp(own->layer_decay.rows[k].key, "image") == 0 ||
                     strcmp(own->layer_decay.rows[k].key, "text") == 0,
                 TH_EUSAGE, "write layer_decay: {image: 0.75}", "layer_decay has no tower \"%s\"",
                 own->layer_decay.rows[k].key);
    TH_CHECK((own->below > -1e300 || own->above < 1e300) == (own->metric != NULL), TH_EUSAGE,
             "write until: {metric: val/loss, below: 2.0}",
             "until.metric goes with until.below or until.above");
    TH_TRY(th_stage_steps(stage, parameters, records, &steps, err));
    TH_CHECK(steps > 0 || own->plateau || own->metric, TH_EUSAGE,
             "add for: or until:", "it has no end");
    const char *sees = own->plateau ? own->plateau : own->metric;
    TH_CHECK(!sees || strncmp(sees, "val/", 4) != 0 || stage->options.val, TH_EUSAGE,
             "set data.val, or watch train/loss", "it waits for %s, and there is no data.val",
             sees);
    for (int k = 0; k < i; k++)
        TH_CHECK(strcmp(schedule->stages[k].own.name, own->name) != 0, TH_EUSAGE,
                 "give each a name of its own", "another stage has that name");
    TH_CHECK(stage->options.batch <= records, TH_EUSAGE, "lower batch or pack more samples",
             "batch is %lld and the pack has %lld samples", (long long)stage->options.batch,
             (long long)records);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "checking stage \"%s\"", own->name);
}

th_code th_schedule_check(const th_schedule *schedule, const th_parameters *parameters,
                          int64_t records, th_err *err)
{
    bool    *before = NULL, *trains = NULL;
    int64_t *thawed = NULL;
    size_t   rows = (size_t)parameters->row_count;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc(rows, sizeof *before, "trainable rows", (void **)&before, err));
    TH_TRY(th_alloc(rows, sizeof *trains, "trainable rows", (void **)&trains, err));
    TH_TRY(th_alloc(rows, sizeof *thawed, "thawed rows", (void **)&thawed, err));
    for (int i = 0; i < schedule->stage_count; i++) {
        int64_t steps;
        TH_TRY(check_stage(schedule, i, parameters, records, err));
        TH_TRY(th_stage_steps(&schedule->stages[i], parameters, records, &steps, err));
        TH_TRY(th_stage_rows(&schedule->stages[i], parameters, records, before, 0, trains, thawed,
                             err));
        // The set at the stage's end: all that its gradual unfreezing can have reached.
        TH_TRY(th_stage_rows(&schedule->stages[i], parameters, records, before,
                             steps > 0 ? steps - 1 : INT64_MAX, trains, thawed, err));
        memcpy(before, trains, rows * sizeof *before);
    }
out:
    free(before);
    free(trains);
    free(thawed);
    return rc;
}

static bool may_train(const th_stage *stage, const th_parameters *parameters, int row)
{
    const th_stage_options *own = &stage->own;
    th_tower                tower = parameters->rows[row].tower;
    const char *name = tower == TH_IMAGE ? "image" : tower == TH_TEXT_TOWER ? "text" : "";

    if (own->train && th_stage_selects(own->train, parameters, row))
        return true;
    if (own->unfreeze && th_stage_selects(own->unfreeze, parameters, row))
        return true;
    if (own->unfreeze_tower && strcmp(own->unfreeze_tower, name) == 0)
        return true;
    return (tower == TH_IMAGE && own->image.every.amount > 0) ||
           (tower == TH_TEXT_TOWER && own->text.every.amount > 0);
}

bool th_schedule_trains_later(const th_schedule *schedule, int i, const th_parameters *parameters,
                              int row)
{
    for (int k = i + 1; k < schedule->stage_count; k++)
        if (may_train(&schedule->stages[k], parameters, row))
            return true;
    return false;
}
