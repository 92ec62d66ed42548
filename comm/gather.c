#include "comm/gather.h"

#include "base/memory.h"
#include "base/slice.h"
#include "comm/mpi_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct th_gather {
    MPI_Request  request;
    MPI_Datatype row;
    int          counts[]; // [2, size]: rows of each rank, then the row where they begin
};

// A row of more bytes than an `int` counts is `whole` pieces of `limit` bytes and a rest.
th_code th_mpi_bytes_type(size_t size, int limit, MPI_Datatype *out, th_err *err)
{
    th_code      rc = TH_OK;
    size_t       whole = size / (size_t)limit;
    int          rest = (int)(size % (size_t)limit);
    MPI_Datatype piece = MPI_DATATYPE_NULL, type = MPI_DATATYPE_NULL;

    TH_CHECK(whole <= (size_t)limit, TH_EUSAGE, "use smaller rows",
             "cannot describe a row of %zu bytes to MPI", size);
    if (whole == 0) {
        TH_MPI(MPI_Type_contiguous(rest, MPI_BYTE, &type), "describe a row");
    } else {
        int          lengths[] = { (int)whole, rest };
        MPI_Aint     places[] = { 0, (MPI_Aint)(whole * (size_t)limit) };
        MPI_Datatype types[] = { MPI_BYTE, MPI_BYTE };
        TH_MPI(MPI_Type_contiguous(limit, MPI_BYTE, &piece), "describe a piece of a row");
        types[0] = piece;
        TH_MPI(MPI_Type_create_struct(rest > 0 ? 2 : 1, lengths, places, types, &type),
               "describe a row");
    }
    TH_MPI(MPI_Type_commit(&type), "describe a row");
    *out = type;
    type = MPI_DATATYPE_NULL;
out:
    if (piece != MPI_DATATYPE_NULL)
        (void)MPI_Type_free(&piece); // the row keeps what it needs of it
    if (type != MPI_DATATYPE_NULL)
        (void)MPI_Type_free(&type); // built, but not handed out: the first error is the one to tell
    return rc;
}

th_code th_gather_start_limit(th_world *world, const void *local, int64_t total_rows,
                              size_t row_bytes, void *all, int limit, th_gather **out, th_err *err)
{
    th_code        rc = TH_OK;
    th_gather     *gather = NULL;
    void          *memory = NULL;
    int            W = world->size;
    int64_t        first = th_slice_first(total_rows, W, world->rank);
    int64_t        count = th_slice_count(total_rows, W, world->rank);
    unsigned char *mine = (unsigned char *)all + (size_t)first * row_bytes;

    TH_CHECK(total_rows >= 0 && total_rows <= limit, TH_EUSAGE, "use a smaller global batch",
             "cannot gather %lld rows: MPI counts up to %d", (long long)total_rows, limit);
    // In place on every rank or on none, says MPI. So every rank puts its rows where they belong.
    if (count > 0 && row_bytes > 0 && local != mine)
        memcpy(mine, local, (size_t)count * row_bytes);
    if (W == 1 || total_rows == 0 || row_bytes == 0) {
        *out = NULL; // nothing is under way
        return TH_OK;
    }

    TH_TRY(
        th_alloc(1, sizeof *gather + 2 * (size_t)W * sizeof(int), "an all-gather", &memory, err));
    gather = memory;
    gather->request = MPI_REQUEST_NULL;
    gather->row = MPI_DATATYPE_NULL;
    int *counts = gather->counts, *places = gather->counts + W;
    for (int rank = 0; rank < W; rank++) {
        counts[rank] = (int)th_slice_count(total_rows, W, rank);
        places[rank] = (int)th_slice_first(total_rows, W, rank);
    }
    TH_TRY(th_mpi_bytes_type(row_bytes, limit, &gather->row, err));
    TH_MPI(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, counts, places, gather->row,
                           world->mpi->comm, &gather->request),
           "start an all-gather");
    *out = gather;
    return TH_OK;
out:
    if (gather && gather->row != MPI_DATATYPE_NULL)
        (void)MPI_Type_free(&gather->row);
    free(gather);
    return rc;
}

th_code th_gather_start(th_world *world, const void *local, int64_t total_rows, size_t row_bytes,
                        void *all, th_gather **out, th_err *err)
{
    return th_gather_start_limit(world, local, total_rows, row_bytes, all, INT_MAX, out, err);
}

th_code th_gather_drive(th_gather *gather, th_err *err)
{
    th_code rc = TH_OK;
    int     done = 0;

    if (gather)
        TH_MPI(MPI_Test(&gather->request, &done, MPI_STATUS_IGNORE), "go on with an all-gather");
out:
    return rc;
}

th_code th_gather_finish(th_gather *gather, th_err *err)
{
    th_code rc = TH_OK;

    if (!gather)
        return TH_OK;
    TH_MPI(MPI_Wait(&gather->request, MPI_STATUS_IGNORE), "finish an all-gather");
    TH_MPI(MPI_Type_free(&gather->row), "free the description of a row");
out:
    free(gather);
    return rc;
}
