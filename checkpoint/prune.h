/* checkpoint/prune.h - what is removed from a folder of generations, and when. */
#ifndef TH_CHECKPOINT_PRUNE_H
#define TH_CHECKPOINT_PRUNE_H

#include "base/error.h"
#include <stdint.h>

/* Before a generation is written: removes what a killed or failed commit left, temporary files and
 * data files that no manifest speaks of. It gives back the space they hold. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_prune_leftovers(const char *folder, th_err *err);

/* After `step` was committed: keeps the newest `keep` (>= 2) generations whose manifest and size
 * are right. Removes the others and those beyond `step`: the run went back before them, because
 * they were refused, and would be misled by them later. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_prune_generations(const char *folder, int64_t step, int64_t keep,
                                           th_err *err);

#endif
