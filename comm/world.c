#include "comm/world.h"

#include "base/log.h"
#include "base/memory.h"
#include "comm/mpi_private.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

th_code th_mpi_fail(th_err *err, int status, const char *file, int line, const char *doing)
{
    char reason[MPI_MAX_ERROR_STRING];
    int  length = 0;

    if (MPI_Error_string(status, reason, &length) != MPI_SUCCESS)
        (void)snprintf(reason, sizeof reason, "MPI status %d", status);
    return th_fail(err, TH_EPEER, "read the log of the other ranks; the same command resumes", file,
                   line, "could not %s: %s", doing, reason);
}

// Also on MPI_COMM_WORLD and MPI_COMM_SELF: MPI raises errors that belong to no communicator (of
// datatypes, of requests) on one of these, and the default there ends the job without a word of
// ours.
static th_code set_up_communicator(MPI_Comm *comm, th_err *err)
{
    th_code rc = TH_OK;

    TH_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "set MPI's error handler");
    TH_MPI(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "set MPI's error handler");
    TH_MPI(MPI_Comm_dup(MPI_COMM_WORLD, comm), "duplicate the communicator");
    TH_MPI(MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN), "set MPI's error handler");
out:
    return rc;
}

static th_code gather_hosts(th_world *world, th_err *err)
{
    th_code rc = TH_OK;
    char    name[MPI_MAX_PROCESSOR_NAME] = { 0 };
    void   *hosts = NULL;
    int     length = 0;

    TH_TRY(th_alloc((size_t)world->size, TH_HOST_BYTES, "host names", &hosts, err));
    world->mpi->hosts = hosts;
    char *mine = world->mpi->hosts[world->rank];
    TH_MPI(MPI_Get_processor_name(name, &length), "get the name of this host");
    (void)snprintf(mine, TH_HOST_BYTES, "%.*s", TH_HOST_BYTES - 1, name);
    if (world->size > 1)
        TH_MPI(MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, hosts, TH_HOST_BYTES, MPI_CHAR,
                             world->mpi->comm),
               "gather the names of all hosts");
    for (int rank = 0; rank < world->size; rank++)
        world->mpi->host_ranks += strcmp(world->mpi->hosts[rank], mine) == 0;
out:
    return rc;
}

th_code th_world_open(int *argc, char ***argv, th_world *out, th_err *err)
{
    th_code  rc = TH_OK;
    th_world world = { 0 };
    void    *mpi = NULL;
    int      level = MPI_THREAD_SINGLE;

    TH_TRY(th_alloc(1, sizeof *world.mpi, "the world of ranks", &mpi, err));
    world.mpi = mpi;
    world.mpi->comm = MPI_COMM_NULL;
    TH_MPI(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &level), "start MPI");
    world.mpi->started = true;
    TH_CHECK(level >= MPI_THREAD_SERIALIZED, TH_EUSAGE,
             "use an MPI library that is built with thread support",
             "cannot use this MPI library: it gives thread level %d, MPI_THREAD_SERIALIZED is %d",
             level, MPI_THREAD_SERIALIZED);
    TH_TRY(set_up_communicator(&world.mpi->comm, err));
    TH_MPI(MPI_Comm_rank(world.mpi->comm, &world.rank), "get this rank's number");
    TH_MPI(MPI_Comm_size(world.mpi->comm, &world.size), "get the number of ranks");
    TH_TRY(gather_hosts(&world, err));
    *out = world;
    return TH_OK;
out:
    th_world_close(&world);
    return rc;
}

void th_world_close(th_world *world)
{
    if (!world || !world->mpi)
        return;
    struct th_world_mpi *mpi = world->mpi;
    if (mpi->comm != MPI_COMM_NULL && MPI_Comm_free(&mpi->comm) != MPI_SUCCESS)
        th_warn("could not free the communicator");
    if (mpi->started && MPI_Finalize() != MPI_SUCCESS)
        th_warn("could not finalize MPI");
    free(mpi->hosts);
    free(mpi);
    *world = (th_world){ 0 };
}

_Noreturn void th_world_abort(th_world *world, int exit_code)
{
    if (world && world->mpi)
        (void)MPI_Abort(world->mpi->comm, exit_code); // comes back only when it failed
    _exit(exit_code);
}

const char *th_world_host(const th_world *world, int rank)
{
    assert(rank >= 0 && rank < world->size);
    return world->mpi->hosts[rank];
}

int th_world_host_ranks(const th_world *world)
{
    return world->mpi ? world->mpi->host_ranks : 1;
}

th_code th_world_barrier(th_world *world, th_err *err)
{
    th_code rc = TH_OK;

    if (world->size > 1)
        TH_MPI(MPI_Barrier(world->mpi->comm), "wait for all ranks");
out:
    return rc;
}

th_code th_world_broadcast_limit(th_world *world, void *bytes, size_t size, int root, int limit,
                                 th_err *err)
{
    th_code        rc = TH_OK;
    unsigned char *at = bytes;

    if (world->size == 1)
        return TH_OK;
    while (size > 0) {
        int piece = size < (size_t)limit ? (int)size : limit;
        TH_MPI(MPI_Bcast(at, piece, MPI_BYTE, root, world->mpi->comm), "broadcast to all ranks");
        at += piece;
        size -= (size_t)piece;
    }
out:
    return rc;
}

th_code th_world_broadcast(th_world *world, void *bytes, size_t size, int root, th_err *err)
{
    return th_world_broadcast_limit(world, bytes, size, root, INT_MAX, err);
}

static double add(double a, double b)
{
    return a + b;
}

// A NaN is the largest: whoever asks for a maximum wants to know of it.
static double larger(double a, double b)
{
    return isnan(b) || b > a ? b : a;
}

// Rank order, not the library's: MPI_Allreduce may add in any order, so a library, an algorithm or
// the arrival of messages could change the last bit. These are a few numbers a step, not gradients.
static th_code fold(th_world *world, double *values, int count, double (*two)(double, double),
                    th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;

    if (world->size == 1 || count == 0)
        return TH_OK;
    TH_TRY(th_alloc((size_t)count * (size_t)world->size, sizeof *values, "values of all ranks",
                    &memory, err));
    const double *all = memory; // [size, count]
    TH_MPI(MPI_Allgather(values, count, MPI_DOUBLE, memory, count, MPI_DOUBLE, world->mpi->comm),
           "gather numbers from all ranks");
    for (int i = 0; i < count; i++) {
        double folded = all[i];
        for (int rank = 1; rank < world->size; rank++)
            folded = two(folded, all[(size_t)rank * (size_t)count + (size_t)i]);
        values[i] = folded;
    }
out:
    free(memory);
    return rc;
}

th_code th_world_sum(th_world *world, double *values, int count, th_err *err)
{
    return fold(world, values, count, add, err);
}

th_code th_world_max(th_world *world, double *values, int count, th_err *err)
{
    return fold(world, values, count, larger, err);
}
