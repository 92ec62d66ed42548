/* launch/scratch.h - a folder for what is thrown away: below TMPDIR, or /tmp. */
#ifndef TH_LAUNCH_SCRATCH_H
#define TH_LAUNCH_SCRATCH_H

#include "comm/world.h"

/* Makes a new one, of one name on all ranks; on other hosts it is made when it is needed. Errors:
 * TH_EIO, TH_EUSAGE. Calls: Collective. */
TH_MUST_CHECK th_code th_scratch_open(th_world *world, const char *name, char *out, size_t size,
                                      th_err *err);

/* Removes it with all that is in it, also where another rank of the host does the same. Local. */
void th_scratch_close(const char *folder);

#endif
