/* trainer/cache_build.h - the rows of a stage's frozen towers, computed ahead of training.
 *
 * Ranks share the records. What a cache has already is passed over, so a build that was killed goes
 * on where it was, and a run may train beside it. */
#ifndef TH_TRAINER_CACHE_BUILD_H
#define TH_TRAINER_CACHE_BUILD_H

#include "trainer/run.h"

typedef struct {
    const char *stage;       // its name
    bool        tower[2];    // image, text: built
    int64_t     done, total; // pictures in each of their views, of all ranks
    int64_t     computed;    // rows that were not there before, of both towers and all ranks;
                             // known at the end
} th_cache_build_report;

typedef struct {
    void (*on_progress)(void *context, const th_cache_build_report *report); // on every rank
    bool (*stop_asked)(void *context);
    void *context;
} th_cache_build_hooks;

/* Builds the caches of stage `name`, or (NULL) of the first one that can be built now.
 *
 *   in   as for th_run; its hooks are not called
 *
 * Errors: TH_EUSAGE: nothing can be built and why, or cache.budget does not hold it; TH_ESTOP when
 * any rank was asked to stop (what was computed is kept); TH_EDATA, TH_EIO, TH_EPEER.
 * Calls: Collective. */
TH_MUST_CHECK th_code th_cache_build(th_world *world, const struct th_run_input *in,
                                     const char *name, const th_cache_build_hooks *hooks,
                                     th_cache_build_report *out, th_err *err);

#endif
