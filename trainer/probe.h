/* trainer/probe.h - steps of each stage of a forecast, done for real and timed.
 *
 * A session like that of a run is opened in a scratch folder: the run's own packs, loader, towers,
 * exchanges and optimizer, with first weights and a rate of zero. The first step of each is not
 * counted. Where a feature cache will be used, steps that fill one and the same steps from it are
 * timed. Of gradual unfreezing the first phase and the last two are; those between lie on the line.
 */
#ifndef TH_TRAINER_PROBE_H
#define TH_TRAINER_PROBE_H

#include "trainer/forecast.h"

/* Fills cold_s and warm_s of every phase, evaluation_s and snapshot_s. Stages with a problem stay
 * at 0. `scratch` is an empty folder, whose contents are the caller's to remove. An evaluation is
 * timed over some hundred records and taken to grow with the pack (the ranking with its square).
 * Errors: as th_run, TH_ESTOP when a rank was asked to stop. Calls: Collective. */
typedef struct {
    void (*begins)(const char *stage); // called on every rank before each stage
    bool (*stop_asked)(void);          // asked on every rank at each step
} th_probe_hooks;
TH_MUST_CHECK th_code th_probe(th_world *world, const th_forecast_input *in, const char *scratch,
                               const th_probe_hooks *hooks, th_forecast *forecast, th_err *err);

#endif
