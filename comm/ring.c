#include "comm/ring.h"

#include "comm/mpi_private.h"

#define PIECE ((int)1 << 20) // bytes: MPI keeps a second copy of what is under way

th_code th_ring_pass_limit(th_world *world, void *bytes, size_t size, int limit, th_err *err)
{
    th_code        rc = TH_OK;
    unsigned char *at = bytes;
    int            before = (world->rank + world->size - 1) % world->size;
    int            behind = (world->rank + 1) % world->size;

    if (world->size == 1)
        return TH_OK;
    while (size > 0) {
        int piece = size < (size_t)limit ? (int)size : limit;
        TH_MPI(MPI_Sendrecv_replace(at, piece, MPI_BYTE, before, 0, behind, 0, world->mpi->comm,
                                    MPI_STATUS_IGNORE),
               "pass a block on");
        at += piece;
        size -= (size_t)piece;
    }
out:
    return rc;
}

th_code th_ring_pass(th_world *world, void *bytes, size_t size, th_err *err)
{
    return th_ring_pass_limit(world, bytes, size, PIECE, err);
}
