/* trainer/forecast_private.h - between forecast.c, which walks the stages, and forecast_phase.c. */
#ifndef TH_TRAINER_FORECAST_PRIVATE_H
#define TH_TRAINER_FORECAST_PRIVATE_H

#include "trainer/forecast.h"

/* What the walk carries from phase to phase. */
typedef struct {
    const th_forecast_input *in;
    th_forecast             *forecast;
    bool                    *before, *trains; // [row_count]
    int64_t                 *thawed;          // [row_count]
    int64_t                 *trained;         // [row_count] the last phase in which a row trained
    int64_t                  phase;           // number of the one that is laid out, from 1
    size_t                   snapshot_bytes;  // the largest so far: its memory stays
    size_t                   evaluation_arena, evaluation_bytes; // of passes; besides
} th_forecast_walk;

/* Lays out what an evaluation of data.val takes. Local. */
void th_forecast_evaluation(th_forecast_walk *walk);

/* Fills a phase of a stage for the rows that train in the table now; `samples` is how many it lasts
 * (the whole pack where nobody knows), `position` where the first one stands, `earlier` how many of
 * them went by before the run stood where it stands. Errors: TH_EUSAGE (it does not fit), TH_EIO.
 * Local. */
TH_MUST_CHECK th_code th_forecast_phase(th_forecast_walk *walk, const th_stage *stage,
                                        int64_t position, int64_t earlier, int64_t samples,
                                        th_phase *out, th_err *err);

#endif
