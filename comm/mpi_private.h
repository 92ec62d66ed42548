/* comm/mpi_private.h - what the files of comm/ share of MPI; nobody else includes it but tests.
 *
 * MPI counts are `int`. The functions below that take a `limit` do the work of the public ones with
 * that limit in place of INT_MAX, so that tests split small data where users split gigabytes. */
#ifndef TH_COMM_MPI_PRIVATE_H
#define TH_COMM_MPI_PRIVATE_H

#include "comm/buckets.h"
#include "comm/gather.h"
#include "comm/world.h"
#include <mpi.h>
#include <stdbool.h>

#define TH_HOST_BYTES 65 // HOST_NAME_MAX of Linux and the zero

struct th_world_mpi {
    MPI_Comm comm;    // ours alone: a duplicate of MPI_COMM_WORLD, MPI_ERRORS_RETURN
    bool     started; // MPI_Init_thread came back, MPI_Finalize is owed
    int      host_ranks;
    char (*hosts)[TH_HOST_BYTES]; // [size]
};

/* Turns an MPI status other than MPI_SUCCESS into TH_EPEER: "could not <doing>: <MPI's reason>". */
th_code th_mpi_fail(th_err *err, int status, const char *file, int line, const char *doing);

#define TH_MPI(call, doing)                                                                        \
    do {                                                                                           \
        int status_ = (call);                                                                      \
        if (status_ != MPI_SUCCESS) {                                                              \
            rc = th_mpi_fail(err, status_, __FILE__, __LINE__, (doing));                           \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* *out = a committed datatype of `size` contiguous bytes, 1 <= size; MPI_Type_free it. Local. */
TH_MUST_CHECK th_code th_mpi_bytes_type(size_t size, int limit, MPI_Datatype *out, th_err *err);

TH_MUST_CHECK th_code th_world_broadcast_limit(th_world *world, void *bytes, size_t size, int root,
                                               int limit, th_err *err);

TH_MUST_CHECK th_code th_ring_pass_limit(th_world *world, void *bytes, size_t size, int limit,
                                         th_err *err);

TH_MUST_CHECK th_code th_gather_start_limit(th_world *world, const void *local, int64_t total_rows,
                                            size_t row_bytes, void *all, int limit, th_gather **out,
                                            th_err *err);

TH_MUST_CHECK th_code th_buckets_open_limit(th_world *world, void *gradient, th_number number,
                                            const th_bucket *buckets, int count, int limit,
                                            th_buckets **out, th_err *err);

#endif
