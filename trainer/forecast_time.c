/* trainer/forecast_time.c - how long a stage takes, from the seconds of its steps. */
#include "trainer/coverage.h"
#include "trainer/forecast.h"

// Of the rows that a phase asks for in its first n samples, the share that is missing, weighed by
// the work of computing them.
static double missing_share(const th_forecast *f, const th_phase *phase, int64_t n)
{
    double work = 0, missing = 0;

    for (int t = 0; t < 2; t++) {
        const th_phase_cache *at = &phase->cache[t];
        if (at->cache < 0)
            continue;
        const th_forecast_cache *c = &f->caches[at->cache];
        double met = th_coverage_missed(at->seen + n, f->records, c->start, c->again) -
                     th_coverage_missed(at->seen, f->records, c->start, c->again);
        work += at->work;
        missing += at->work * (c->kept * met / (double)n + (1 - c->kept));
    }
    return work > 0 ? missing / work : 0;
}

static double steps_seconds(const th_forecast *f, int64_t batch, const th_phase *phase,
                            int64_t steps)
{
    double share = steps > 0 ? missing_share(f, phase, steps * batch) : 0;

    return (double)steps * (phase->warm_s + share * (phase->cold_s - phase->warm_s));
}

// How often something falls into steps (from, to] that comes every so many, and (if `last`) at the
// end.
static int64_t times(int64_t every, int64_t from, int64_t to, bool last)
{
    if (every == 0)
        return 0;
    return to / every - from / every + (last && to > from && to % every != 0);
}

double th_forecast_seconds(const th_forecast *forecast, const th_schedule *schedule,
                           const th_forecast_stage *stage, int64_t steps)
{
    const th_train_options *o = &schedule->stages[stage->index].options;
    double                  seconds = 0;
    int64_t                 saves;

    for (int k = 0; k < stage->phase_count; k++) {
        const th_phase *phase = &stage->phases[k];
        int64_t         end = k + 1 < stage->phase_count ? stage->phases[k + 1].step : steps;
        end = end < steps ? end : steps;
        if (end > phase->step)
            seconds += steps_seconds(forecast, o->batch, phase, end - phase->step);
    }
    seconds += forecast->evaluation_s * (double)times(stage->eval_steps, stage->done, steps, true);
    saves =
        times(stage->checkpoint_steps, stage->begins, stage->begins + steps - stage->done, false);
    if (o->checkpoint_every.unit == TH_SECONDS && o->checkpoint_every.amount > 0)
        saves = (int64_t)(seconds / o->checkpoint_every.amount);
    return seconds + (double)saves * forecast->snapshot_s;
}
