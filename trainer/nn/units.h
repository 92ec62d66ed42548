/* trainer/nn/units.h - work is cut in fixed units, and a thread takes a contiguous run of them.
 *
 * OpenBLAS rounds a row by its place in the call: blocks of a multiple of 48 rows give the same
 * bits as one call for all of its kernels, other blocks do not. It also has other kernels for small
 * products, which a unit must be too large for. So units depend on the shape alone, never on the
 * number of threads, and a result has the same bits on any number of them. Rows that do not fill a
 * unit belong to the last one.
 *
 * Calls: Local; any thread. th_share is for the threads of the current OpenMP team. */
#ifndef TH_TRAINER_NN_UNITS_H
#define TH_TRAINER_NN_UNITS_H

#include "base/slice.h"
#include <omp.h>
#include <stdbool.h>

#define TH_UNIT         48
#define TH_UNIT_PRODUCT (1 << 20) // multiplications: OpenBLAS calls up to 10^6 of them small

typedef struct {
    int64_t first, count; // rows
} th_rows;

/* Rows of a unit whose product costs row_product multiplications a row (n * k). */
static inline int64_t th_unit_rows(int64_t row_product)
{
    int64_t need = TH_UNIT_PRODUCT / (row_product > 0 ? row_product : 1) + 1;
    return (need + TH_UNIT - 1) / TH_UNIT * TH_UNIT;
}

static inline int64_t th_unit_count(int64_t rows, int64_t unit)
{
    return rows < unit ? rows > 0 : rows / unit;
}

/* Rows of the units first .. first + count - 1. */
static inline th_rows th_unit_run(int64_t rows, int64_t unit, int64_t first, int64_t count)
{
    int64_t end = first + count == th_unit_count(rows, unit) ? rows : (first + count) * unit;
    return (th_rows){ first * unit, count > 0 ? end - first * unit : 0 };
}

/* Units, then rows, of the calling thread. */
static inline th_rows th_share_units(int64_t rows, int64_t unit)
{
    int64_t units = th_unit_count(rows, unit), threads = omp_get_num_threads();
    int64_t me = omp_get_thread_num();
    return (th_rows){ th_slice_first(units, threads, me), th_slice_count(units, threads, me) };
}

static inline th_rows th_share(int64_t rows, int64_t unit)
{
    th_rows mine = th_share_units(rows, unit);
    return th_unit_run(rows, unit, mine.first, mine.count);
}

/* A walk of the calling thread over its units, a chunk of them at a time, so that what one kernel
 * writes is still in the cache when the next one reads it:
 *
 *     th_chunk chunk = { 0 };
 *     for (th_walk walk = th_walk_share(rows, unit, near); th_walk_next(&walk, &chunk);) ... */
typedef struct {
    int64_t rows, unit;
    int64_t first, count;  // units of this thread
    int64_t chunks, chunk; // in how many chunks, and which comes next
} th_walk;

typedef struct {
    int64_t first, count; // rows
    int64_t unit, units;  // first unit, and how many
} th_chunk;

/* Chunks of about `near` rows, at least a unit, as even as units allow. */
static inline th_walk th_walk_share(int64_t rows, int64_t unit, int64_t near)
{
    th_rows mine = th_share_units(rows, unit);
    int64_t most = near > unit ? near / unit : 1, chunks = (mine.count + most / 2) / most;
    return (th_walk){ .rows = rows,
                      .unit = unit,
                      .first = mine.first,
                      .count = mine.count,
                      .chunks = chunks > 0 ? chunks : mine.count > 0 };
}

static inline bool th_walk_next(th_walk *walk, th_chunk *out)
{
    if (walk->chunk == walk->chunks)
        return false;
    out->unit = walk->first + th_slice_first(walk->count, walk->chunks, walk->chunk);
    out->units = th_slice_count(walk->count, walk->chunks, walk->chunk);
    th_rows rows = th_unit_run(walk->rows, walk->unit, out->unit, out->units);
    out->first = rows.first;
    out->count = rows.count;
    walk->chunk++;
    return true;
}

/* Most rows a chunk can have: half as many again as `near`, and the last unit is up to twice as
 * long as the others. */
static inline int64_t th_chunk_most(int64_t unit, int64_t near)
{
    int64_t most = near > unit ? near / unit : 1;
    return (most + (most + 1) / 2) * unit + unit;
}

#endif
