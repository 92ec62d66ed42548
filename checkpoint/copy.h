/* checkpoint/copy.h - a copy of a snapshot in memory that is kept from save to save. */
#ifndef TH_CHECKPOINT_COPY_H
#define TH_CHECKPOINT_COPY_H

#include "base/error.h"
#include "base/memory.h"
#include "checkpoint/snapshot.h"

typedef struct {
    th_snapshot snapshot; // its pointers are into the arena
    th_arena    arena;
    size_t      first_bytes; // what a copy of the snapshot given at open takes
} th_copy;

/* Takes memory for a copy of a snapshot of these shapes, moments included for all parameters, so
 * that stages may add and drop them. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_copy_open(th_copy *copy, const th_snapshot *snapshot, th_err *err);
void                  th_copy_close(th_copy *copy);

/* Touches the pages that the snapshot given at open needs, so that the first copy finds them there.
 */
void th_copy_touch(th_copy *copy);

/* Copies with up to four threads; a snapshot that needs more memory gets it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_copy_take(th_copy *copy, const th_snapshot *snapshot, th_err *err);

#endif
