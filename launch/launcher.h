/* launch/launcher.h - `thaw train -n 4`: starts mpirun, and passes a wish to stop on to it. */
#ifndef TH_LAUNCH_LAUNCHER_H
#define TH_LAUNCH_LAUNCHER_H

#include "launch/command_line.h"
#include <stdint.h>

/* Has a launcher (mpirun, srun) started this process? */
bool th_launched(void);

/* Before MPI_Init. A rank ends with what started it from here on (launch/orphan.h). Shortens
 * MPI_Init where all ranks are on this host and no scheduler has given them one. Open MPI looks for
 * network hardware first (the psm and psm2 libraries: 0.2 of 0.28 s on one host);
 * OMPI_MCA_pml=ob1 goes straight to shared memory. A process that no launcher started also starts a
 * daemon for it, unless OMPI_MCA_ess_singleton_isolated=1: 0.02 s are left then. What the user has
 * set in the environment stays. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_launch_prepare(th_err *err);

/* Runs `mpirun -n ranks` on this program with the same arguments, waits for it, and returns its
 * exit code in *out. TERM, INT and USR1 are passed on as a wish to stop, which mpirun forwards to
 * every rank at once; so is the end of this process. Ranks are not bound to cores (each has threads
 * of its own). Errors: TH_EIO when there is no mpirun; TH_ESTOP when it was stopped before a rank
 * could take the wish. */
TH_MUST_CHECK th_code th_launch(const th_command_line *line, int64_t ranks, int *out, th_err *err);

/* Says how a job of ranks ended, when `speaks` (rank 0 for all), and takes the error out of err, so
 * that main does not say it again. Before the world closes: once a rank has ended with a code other
 * than 0, mpirun ends the others. */
void th_launch_say(bool speaks, th_err *err);

#endif
