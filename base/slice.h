/* base/slice.h - how a global batch is cut among ranks: contiguous, sizes differing by one at most.
 *
 * The first total % parts slices are the longer ones. Everyone who needs a rank's rows asks here,
 * so the loader, the all-gather and the loss agree. */
#ifndef TH_BASE_SLICE_H
#define TH_BASE_SLICE_H

#include <stdint.h>

/* First row of slice `part`, 0 <= part <= parts; of part == parts it is total. */
static inline int64_t th_slice_first(int64_t total, int64_t parts, int64_t part)
{
    int64_t longer = total % parts;
    return total / parts * part + (part < longer ? part : longer);
}

static inline int64_t th_slice_count(int64_t total, int64_t parts, int64_t part)
{
    return th_slice_first(total, parts, part + 1) - th_slice_first(total, parts, part);
}

#endif
