/* dataloader/packer_ordered.h - a stream of items through several threads, results in order.
 *
 *     take (in order, one at a time)  ->  work (in parallel)  ->  give (in order, calling thread)
 *
 * At most 2 * threads + 2 items are under way, so memory is bounded however the three differ in
 * speed. What comes out, and in which order, does not depend on the number of threads. */
#ifndef TH_DATALOADER_PACKER_ORDERED_H
#define TH_DATALOADER_PACKER_ORDERED_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    void  *context;
    int    threads;    // >= 1
    size_t slot_bytes; // an item's place: zeroed at first, then used again and again
    th_code (*take)(void *context, void *slot, bool *out_more, th_err *err);
    th_code (*work)(void *context, int thread, void *slot, th_err *err); // thread: 0 .. threads - 1
    th_code (*give)(void *context, void *slot, th_err *err);
    void (*tick)(void *context);             // a few times a second, calling thread
    void (*drop)(void *context, void *slot); // frees all that a slot holds: each slot, at the end
} th_ordered_job;

/* Returns when the last item was given, or with the first error in item order. Errors: those of the
 * callbacks; TH_EIO when no thread could be started. */
TH_MUST_CHECK th_code th_ordered_run(const th_ordered_job *job, th_err *err);

#endif
