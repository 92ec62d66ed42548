/* comm/buckets.h - gradients are summed over ranks while backward still runs.
 *
 * The gradient arena is cut into buckets, contiguous ranges in the order in which backward
 * completes them. A bucket whose gradients are final on this rank is started (MPI_Iallreduce, in
 * place), driven between kernels, and all are waited for before the optimizer. Every rank starts
 * the same buckets in the same order. The sum has the same bits on all ranks, and in every run of
 * the same world size. */
#ifndef TH_COMM_BUCKETS_H
#define TH_COMM_BUCKETS_H

#include "comm/world.h"

typedef struct {
    int64_t first, count; // elements of the gradient arena
} th_bucket;

typedef enum { TH_FLOAT, TH_FLOAT64 } th_number; // the arena's element type

typedef struct th_buckets th_buckets;

/* `gradient` is kept; `buckets` is copied. Empty buckets are allowed. Local. */
TH_MUST_CHECK th_code th_buckets_open(th_world *world, void *gradient, th_number number,
                                      const th_bucket *buckets, int count, th_buckets **out,
                                      th_err *err);
void th_buckets_close(th_buckets *buckets); // accepts NULL; waits for nothing, so finish first

/* Starts bucket i; once per step. Non-blocking. */
TH_MUST_CHECK th_code th_buckets_start(th_buckets *buckets, int i, th_err *err);

/* Lets MPI progress, without waiting. Cheap when nothing is under way. Local. */
TH_MUST_CHECK th_code th_buckets_drive(th_buckets *buckets, th_err *err);

/* Waits for all started buckets; then all can be started anew. */
TH_MUST_CHECK th_code th_buckets_finish(th_buckets *buckets, th_err *err);

#endif
