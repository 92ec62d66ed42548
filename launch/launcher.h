/* launch/launcher.h - `thaw train -n 4`: starts mpirun, and passes a wish to stop on to it. */
#ifndef TH_LAUNCH_LAUNCHER_H
#define TH_LAUNCH_LAUNCHER_H

#include "launch/command_line.h"
#include <stdint.h>

/* Has a launcher (mpirun, srun) started this process? */
bool th_launched(void);

/* Runs `mpirun -n ranks` on this program with the same arguments, waits for it, and returns its
 * exit code in *out. TERM, INT and USR1 are passed on as USR1, which mpirun forwards to every rank
 * at once. Ranks are not bound to cores (each has threads of its own). Errors: TH_EIO when there is
 * no mpirun. */
TH_MUST_CHECK th_code th_launch(const th_command_line *line, int64_t ranks, int *out, th_err *err);

#endif
