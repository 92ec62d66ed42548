#include "trainer/schedule/trigger.h"

#include "trainer/scalars.h"

#include <math.h>
#include <string.h>

th_code th_trigger_limits(const th_stage *stage, int64_t records, int64_t steps, th_trigger *out,
                          th_err *err)
{
    const th_stage_options *own = &stage->own;
    int64_t                 least = 0;
    th_code                 rc = TH_OK;

    if (own->min.amount > 0)
        TH_TRY(th_span_steps("until.min", own->min, stage->options.batch, records, &least, err));
    out->least = least;
    out->most = steps;
    out->plateau = own->plateau;
    out->metric = own->metric;
    out->below = own->below;
    out->above = own->above;
    out->min_delta = own->min_delta;
    out->patience = own->patience;
out:
    return rc;
}

static void see_plateau(th_trigger *trigger, double value)
{
    const th_scalar *scalar = th_scalar_find(trigger->plateau);
    double           gain = scalar && scalar->less ? trigger->best - value : value - trigger->best;

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
    // The loss of a step that was skipped may be infinite: that is over no threshold.
    if (trigger->metric && strcmp(trigger->metric, metric) == 0 && isfinite(value) &&
        (value < trigger->below || value > trigger->above))
        trigger->fell = true;
}

bool th_trigger_ended(const th_trigger *trigger, int64_t step)
{
    if (trigger->most > 0 && step >= trigger->most)
        return true;
    return trigger->fell && step >= trigger->least;
}
