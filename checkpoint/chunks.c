#include "checkpoint/chunks.h"

#define LIMIT_ELEMENTS ((int64_t)1 << 38) // 1 TiB of floats
#define CHUNK_ELEMENTS ((int64_t)1 << 18) // 1 MiB: checksum, hash and copy find it in the L2 cache

bool th_shape_elements(int dimensions, const int64_t *shape, int64_t *out)
{
    int64_t elements = 1;

    if (dimensions < 0 || dimensions > TH_TENSOR_DIMENSIONS)
        return false;
    for (int d = 0; d < dimensions; d++)
        if (shape[d] < 1 || shape[d] > LIMIT_ELEMENTS / elements)
            return false;
        else
            elements *= shape[d];
    *out = elements;
    return true;
}

bool th_chunks_accept(int dimensions, const int64_t *shape, const int64_t *chunk, th_chunks *out)
{
    th_chunks c = { .dimensions = dimensions, .rest = 1, .count = 1 };
    int64_t   elements;

    if (dimensions < 1 || !th_shape_elements(dimensions, shape, &elements) ||
        !th_shape_elements(dimensions, chunk, &c.chunk_elements))
        return false;
    while (c.cut < dimensions - 1 && chunk[c.cut] == 1)
        c.cut++;
    for (int d = 0; d < dimensions; d++) {
        if (chunk[d] > shape[d] || (d > c.cut && chunk[d] != shape[d]))
            return false;
        c.shape[d] = shape[d];
        c.chunk[d] = chunk[d];
        if (d > c.cut)
            c.rest *= shape[d];
    }
    c.pieces = (shape[c.cut] + chunk[c.cut] - 1) / chunk[c.cut];
    for (int d = 0; d < c.cut; d++)
        c.count *= shape[d];
    c.count *= c.pieces;
    *out = c;
    return true;
}

bool th_chunks_choose(int dimensions, const int64_t *shape, th_chunks *out)
{
    int64_t elements, chunk[TH_TENSOR_DIMENSIONS] = { 1, 1, 1, 1 }, rest = 1;
    int     cut = dimensions - 1;

    if (dimensions < 1 || !th_shape_elements(dimensions, shape, &elements))
        return false;
    while (cut > 0 && rest * shape[cut] <= CHUNK_ELEMENTS) {
        chunk[cut] = shape[cut];
        rest *= shape[cut--];
    }
    // Even pieces: the padding of the last one is then less than one row for each piece.
    int64_t most = rest < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / rest : 1;
    int64_t pieces = (shape[cut] + most - 1) / most;
    chunk[cut] = (shape[cut] + pieces - 1) / pieces;
    return th_chunks_accept(dimensions, shape, chunk, out);
}

void th_chunks_at(const th_chunks *chunks, int64_t index, int64_t place[TH_TENSOR_DIMENSIONS],
                  int64_t *out_first, int64_t *out_elements)
{
    int64_t before = index / chunks->pieces; // over the dimensions before the cut
    int64_t start = index % chunks->pieces * chunks->chunk[chunks->cut];
    int64_t left = chunks->shape[chunks->cut] - start;

    for (int d = 0; d < TH_TENSOR_DIMENSIONS; d++)
        place[d] = 0;
    place[chunks->cut] = start;
    *out_first = (before * chunks->shape[chunks->cut] + start) * chunks->rest;
    *out_elements =
        (left < chunks->chunk[chunks->cut] ? left : chunks->chunk[chunks->cut]) * chunks->rest;
    for (int d = chunks->cut - 1; d >= 0; d--) {
        place[d] = before % chunks->shape[d];
        before /= chunks->shape[d];
    }
}
