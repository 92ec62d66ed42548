/* launch/orphan.h - a rank ends with the process that started it. */
#ifndef TH_LAUNCH_ORPHAN_H
#define TH_LAUNCH_ORPHAN_H

#include "base/error.h"

/* From now on this process ends at once, with code 1, when its parent (mpirun, or the daemon that
 * starts ranks for it) has died. Open MPI watches for that as well, but a rank has been seen to
 * live on whose mpirun was killed during the start. Nothing is lost: a run may be killed anywhere.
 * Errors: TH_EIO. Linux only (PR_SET_PDEATHSIG). */
TH_MUST_CHECK th_code th_orphan_ends(th_err *err);

#endif
