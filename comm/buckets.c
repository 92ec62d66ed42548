#include "comm/buckets.h"

#include "base/memory.h"
#include "comm/mpi_private.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// The same bits on all ranks and in every run: MPI recommends this of a reduction and demands it of
// nobody, so here is why it holds. With MPI_IN_PLACE, Open MPI (libnbc) always takes its binomial
// tree: pairs of ranks are added in a fixed order, and rank 0's sum is sent to all. The others,
// which a user can force with OMPI_MCA_coll_libnbc_iallreduce_algorithm, are fixed in order as
// well, but before 4.1.2 some were wrong in place (open-mpi/ompi issue 9385).
// tests/mpi/test_comm_buckets.c holds the library to it, with ranks that arrive early and late.

struct th_buckets {
    th_world    *world;
    char        *gradient; // kept, not owned
    MPI_Datatype number;
    size_t       number_bytes;
    int          limit; // most elements in one MPI call
    int          count;
    th_bucket   *buckets;       // [count]
    int         *first_request; // [count + 1]: a bucket owns the requests of its pieces
    bool        *started;       // [count]
    MPI_Request *requests;      // [first_request[count]]
    int         *done;          // scratch of MPI_Testsome, one for each request
    int          under_way;     // requests not known to be done
};

static th_code make_room(th_buckets *b, const th_bucket *buckets, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    size_t  count = (size_t)b->count;
    int64_t requests = 0;

    TH_TRY(th_alloc(count, sizeof *b->buckets, "buckets", &memory, err));
    b->buckets = memory;
    TH_TRY(th_alloc(count + 1, sizeof *b->first_request, "buckets", &memory, err));
    b->first_request = memory;
    TH_TRY(th_alloc(count, sizeof *b->started, "buckets", &memory, err));
    b->started = memory;
    for (int i = 0; i < b->count; i++) {
        assert(buckets[i].first >= 0 && buckets[i].count >= 0);
        b->buckets[i] = buckets[i];
        requests += buckets[i].count / b->limit + (buckets[i].count % b->limit > 0);
        TH_CHECK(requests <= INT_MAX, TH_EUSAGE, "use a smaller model",
                 "cannot reduce buckets of more than %d pieces", INT_MAX);
        b->first_request[i + 1] = (int)requests;
    }
    TH_TRY(th_alloc((size_t)requests, sizeof(MPI_Request), "requests of buckets", &memory, err));
    b->requests = memory;
    TH_TRY(th_alloc((size_t)requests, sizeof *b->done, "requests of buckets", &memory, err));
    b->done = memory;
    for (int64_t i = 0; i < requests; i++)
        b->requests[i] = MPI_REQUEST_NULL;
out:
    return rc;
}

th_code th_buckets_open_limit(th_world *world, void *gradient, th_number number,
                              const th_bucket *buckets, int count, int limit, th_buckets **out,
                              th_err *err)
{
    th_code     rc = TH_OK;
    th_buckets *b = NULL;
    void       *memory = NULL;

    TH_TRY(th_alloc(1, sizeof *b, "buckets", &memory, err));
    b = memory;
    *b = (th_buckets){ .world = world, .gradient = gradient, .limit = limit, .count = count };
    b->number = number == TH_FLOAT ? MPI_FLOAT : MPI_DOUBLE;
    b->number_bytes = number == TH_FLOAT ? sizeof(float) : sizeof(double);
    TH_TRY(make_room(b, buckets, err));
    *out = b;
    b = NULL;
out:
    th_buckets_close(b);
    return rc;
}

th_code th_buckets_open(th_world *world, void *gradient, th_number number, const th_bucket *buckets,
                        int count, th_buckets **out, th_err *err)
{
    return th_buckets_open_limit(world, gradient, number, buckets, count, INT_MAX, out, err);
}

void th_buckets_close(th_buckets *b)
{
    if (!b)
        return;
    free(b->buckets);
    free(b->first_request);
    free(b->started);
    free(b->requests);
    free(b->done);
    free(b);
}

th_code th_buckets_start(th_buckets *b, int i, th_err *err)
{
    th_code rc = TH_OK;

    assert(i >= 0 && i < b->count && !b->started[i]);
    b->started[i] = true;
    if (b->world->size == 1)
        return TH_OK;
    char   *at = b->gradient + (size_t)b->buckets[i].first * b->number_bytes;
    int64_t left = b->buckets[i].count;
    for (int request = b->first_request[i]; request < b->first_request[i + 1]; request++) {
        int piece = left < b->limit ? (int)left : b->limit;
        TH_MPI(MPI_Iallreduce(MPI_IN_PLACE, at, piece, b->number, MPI_SUM, b->world->mpi->comm,
                              &b->requests[request]),
               "start the sum of gradients");
        b->under_way++;
        at += (size_t)piece * b->number_bytes;
        left -= piece;
    }
out:
    return rc;
}

th_code th_buckets_drive(th_buckets *b, th_err *err)
{
    th_code rc = TH_OK;
    int     done = 0;

    if (b->under_way == 0)
        return TH_OK;
    TH_MPI(
        MPI_Testsome(b->first_request[b->count], b->requests, &done, b->done, MPI_STATUSES_IGNORE),
        "go on with the sum of gradients");
    if (done != MPI_UNDEFINED)
        b->under_way -= done;
out:
    return rc;
}

th_code th_buckets_finish(th_buckets *b, th_err *err)
{
    th_code rc = TH_OK;

    if (b->under_way > 0)
        TH_MPI(MPI_Waitall(b->first_request[b->count], b->requests, MPI_STATUSES_IGNORE),
               "finish the sum of gradients");
    b->under_way = 0;
    memset(b->started, 0, (size_t)b->count * sizeof *b->started);
out:
    return rc;
}
