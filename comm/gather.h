/* comm/gather.h - all-gather of rows, in rank order, with slices that may differ in size.
 *
 * Rank r holds rows [th_slice_first(total, W, r), th_slice_first(total, W, r + 1)) of total rows.
 */
#ifndef TH_COMM_GATHER_H
#define TH_COMM_GATHER_H

#include "comm/world.h"

typedef struct th_gather th_gather; // one all-gather under way

/* Starts: all[total rows] = every rank's rows. `local` and `all` are kept until th_gather_finish;
 * local may be this rank's place inside all. Non-blocking; th_gather_drive moves it on.
 * row_bytes is any size, also one whose total passes 2^31. */
TH_MUST_CHECK th_code th_gather_start(th_world *world, const void *local, int64_t total_rows,
                                      size_t row_bytes, void *all, th_gather **out, th_err *err);

/* Lets MPI progress, without waiting. Local. Accepts NULL. */
TH_MUST_CHECK th_code th_gather_drive(th_gather *gather, th_err *err);

/* Waits until all rows are there and frees the gather (also on error). Accepts NULL. */
TH_MUST_CHECK th_code th_gather_finish(th_gather *gather, th_err *err);

#endif
