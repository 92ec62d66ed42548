#include "trainer/loss/duplicates.h"

#include "base/hash.h"

#include <stdbool.h>
#include <stdlib.h>

typedef struct th_keyed {
    uint64_t key;
    int32_t  column;
} keyed;

uint64_t th_caption_key(const int32_t *tokens, int64_t count)
{
    return th_hash(tokens, (size_t)count * sizeof *tokens);
}

size_t th_duplicates_bytes(int64_t rows, int64_t columns, int64_t K)
{
    return (size_t)(columns * K + 2 * rows * K) * sizeof(int32_t) +
           (size_t)columns * sizeof(keyed) + 3 * (size_t)64;
}

th_code th_duplicates_take(int64_t rows, int64_t columns, int64_t K, th_arena *arena,
                           th_duplicates *out, th_err *err)
{
    th_duplicates room = { .K = K };
    th_code       rc = TH_OK;

    room.order = th_arena_take(arena, (size_t)(columns * K), sizeof *room.order);
    room.range = th_arena_take(arena, (size_t)(2 * rows * K), sizeof *room.range);
    room.keyed = th_arena_take(arena, (size_t)columns, sizeof *room.keyed);
    TH_CHECK(room.order && room.range && room.keyed, TH_EIO,
             "plan the arena with th_contrastive_bytes",
             "could not compare %lld captions: the arena is full", (long long)(columns * K));
    *out = room;
out:
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const keyed *left = a, *right = b;

    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->column < right->column ? -1 : left->column > right->column;
}

// The first place whose key is not below this one or, `after` it, is above it.
static int32_t place_of(const keyed *sorted, int64_t count, uint64_t key, bool after)
{
    int64_t low = 0, high = count;

    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (sorted[middle].key < key || (after && sorted[middle].key == key))
            low = middle + 1;
        else
            high = middle;
    }
    return (int32_t)low;
}

void th_duplicates_find(th_duplicates *duplicates, const uint64_t *row_key, int64_t rows,
                        const uint64_t *column_key, int64_t columns)
{
    keyed  *sorted = duplicates->keyed;
    int64_t K = duplicates->K;

    duplicates->rows = rows;
    duplicates->columns = columns;
    for (int64_t k = 0; k < K; k++) {
        int32_t *range = duplicates->range + 2 * rows * k;
        for (int64_t j = 0; j < columns; j++)
            sorted[j] = (keyed){ .key = column_key[j * K + k], .column = (int32_t)j };
        qsort(sorted, (size_t)columns, sizeof *sorted, by_key);
        for (int64_t j = 0; j < columns; j++)
            duplicates->order[columns * k + j] = sorted[j].column;
        for (int64_t i = 0; i < rows; i++) {
            uint64_t key = row_key[i * K + k];
            range[2 * i] = place_of(sorted, columns, key, false);
            range[2 * i + 1] = place_of(sorted, columns, key, true);
        }
    }
}

// The first place in [from, end) of ascending columns that is not below this column.
static int32_t column_from(const int32_t *order, int32_t from, int32_t end, int64_t column)
{
    while (from < end) {
        int32_t middle = from + (end - from) / 2;
        if (order[middle] < column)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

void th_duplicates_mask(const th_duplicates *duplicates, int64_t k, int64_t row, int64_t rows,
                        int64_t column, int64_t columns, int64_t own, th_real *tile)
{
    const int32_t *order = duplicates->order + duplicates->columns * k;
    const int32_t *range = duplicates->range + 2 * duplicates->rows * k + 2 * row;

    for (int64_t i = 0; i < rows; i++) {
        int32_t end = range[2 * i + 1];
        for (int32_t at = column_from(order, range[2 * i], end, column);
             at < end && order[at] < column + columns; at++)
            if (order[at] != row + i + own)
                tile[i * columns + order[at] - column] = TH_MASKED;
    }
}
