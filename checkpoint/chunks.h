/* checkpoint/chunks.h - how a tensor is cut into HDF5 chunks.
 *
 * HDF5 checksums chunks, so a tensor is cut: leading dimensions one by one, one dimension evenly,
 * those behind it whole. In row-major order a chunk is then one contiguous run of the tensor, and
 * the chunks in order are the tensor; the last run of the cut dimension may be shorter than the
 * chunk, which is padded with zeros. */
#ifndef TH_CHECKPOINT_CHUNKS_H
#define TH_CHECKPOINT_CHUNKS_H

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int     dimensions; // >= 1
    int     cut;        // the dimension that is cut
    int64_t shape[TH_TENSOR_DIMENSIONS];
    int64_t chunk[TH_TENSOR_DIMENSIONS];
    int64_t rest;           // elements behind the cut dimension
    int64_t pieces;         // the cut dimension is in so many
    int64_t count;          // chunks in all
    int64_t chunk_elements; // of a whole chunk, padding included
} th_chunks;

/* *out = the number of elements of a shape (1 for a scalar); false when a dimension is below 1 or
 * the tensor is over 1 TiB. */
bool th_shape_elements(int dimensions, const int64_t *shape, int64_t *out);

/* The cut that thaw writes: chunks of at most 1 MiB where rows allow it. false as above, or when
 * there is no dimension to cut (a scalar). */
bool th_chunks_choose(int dimensions, const int64_t *shape, th_chunks *out);

/* The cut that a file says it has; false when it is not of the kind described above. */
bool th_chunks_accept(int dimensions, const int64_t *shape, const int64_t *chunk, th_chunks *out);

/* Chunk `index`, 0 <= index < count: its place in each dimension, and the run of the tensor it
 * holds, in elements. */
void th_chunks_at(const th_chunks *chunks, int64_t index, int64_t place[TH_TENSOR_DIMENSIONS],
                  int64_t *out_first, int64_t *out_elements);

#endif
