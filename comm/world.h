/* comm/world.h - the ranks of this job. MPI's types and its `int` counts stay inside comm/.
 *
 * Calls: everything in comm/ is Collective unless it says Local, and one thread at a time
 * (MPI_THREAD_SERIALIZED). On a world of one rank no call communicates. An MPI error comes back as
 * TH_EPEER (MPI_ERRORS_RETURN is set); after one the job cannot go on: th_world_abort. */
#ifndef TH_COMM_WORLD_H
#define TH_COMM_WORLD_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct th_world {
    int                  rank, size;
    struct th_world_mpi *mpi; // private to comm/
} th_world;

/* MPI_Init_thread. Errors: TH_EUSAGE when the library gives less than MPI_THREAD_SERIALIZED. */
TH_MUST_CHECK th_code th_world_open(int *argc, char ***argv, th_world *out, th_err *err);

/* MPI_Finalize, after all ranks are here. Accepts a world never opened. */
void th_world_close(th_world *world);

/* Ends all ranks at once with this exit code, for a failure that others cannot be told of. Local.
 */
_Noreturn void th_world_abort(th_world *world, int exit_code);

/* Host of a rank, for messages: "node7". Known to all ranks since open. Local. */
const char *th_world_host(const th_world *world, int rank);

/* How many ranks run on this rank's host; 1 of a world of one that was never opened. Local. */
int th_world_host_ranks(const th_world *world);

TH_MUST_CHECK th_code th_world_barrier(th_world *world, th_err *err);

/* Copies size bytes (any size_t) from rank `root` to all. */
TH_MUST_CHECK th_code th_world_broadcast(th_world *world, void *bytes, size_t size, int root,
                                         th_err *err);

/* values[count] = sum over ranks, in rank order on every rank: the same bits everywhere. */
TH_MUST_CHECK th_code th_world_sum(th_world *world, double *values, int count, th_err *err);

/* values[count] = largest over ranks; NaN when any rank has NaN. */
TH_MUST_CHECK th_code th_world_max(th_world *world, double *values, int count, th_err *err);

#endif
