#include "trainer/schedule/trigger.h"

#include <math.h>
#include <string.h>

th_code th_trigger_init(const th_stage *stage, const th_parameters *parameters, int64_t records,
                        th_trigger *out, th_err *err)
{
    const th_stage_options *own = &stage->own;
    th_trigger              trigger = { .plateau = own->plateau,
                                        .metric = own->metric,
                                        .below = own->below,
                                        .above = own->above,
                                        .min_delta = own->min_delta,
                                        .patience = own->patience };
    th_code                 rc = TH_OK;

    TH_TRY(th_stage_steps(stage, parameters, records, &trigger.most, err));
    if (own->min.amount > 0)
        TH_TRY(th_span_steps("until.min", own->min, stage->options.batch, records, &trigger.least,
                             err));
    *out = trigger;
out:
    return rc;
}

// Of losses and ranks the smaller is the better, of recalls and all else the larger.
static bool smaller_is_better(const char *metric)
{
    return strstr(metric, "loss") || strstr(metric, "rank");
}

static void see_plateau(th_trigger *trigger, double value)
{
    double gain =
        smaller_is_better(trigger->plateau) ? trigger->best - value : value - trigger->best;

    if (isfinite(value) && (!trigger->seen || gain > trigger->min_delta)) {
        trigger->best = value;
        trigger->seen = true;
        trigger->since = 0;
        return;
    }
    trigger->since++;
    if (trigger->since >= trigger->patience)
        trigger->fell = true;
}

void th_trigger_see(th_trigger *trigger, const char *metric, double value)
{
    if (trigger->plateau && strcmp(trigger->plateau, metric) == 0)
        see_plateau(trigger, value);
    if (trigger->metric && strcmp(trigger->metric, metric) == 0 &&
        (value < trigger->below || value > trigger->above))
        trigger->fell = true;
}

bool th_trigger_ended(const th_trigger *trigger, int64_t step)
{
    if (trigger->most > 0 && step >= trigger->most)
        return true;
    return trigger->fell && step >= trigger->least;
}
