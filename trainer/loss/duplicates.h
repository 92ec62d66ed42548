/* trainer/loss/duplicates.h - captions that other samples have too, and their places in a tile.
 *
 * "A red apple" under two pictures makes two wrong negatives: each picture goes with each caption.
 * A caption's key is the 64-bit hash of its token ids, and equal keys are taken for equal captions:
 * of a million different captions two share a key with a probability of 3e-8. With K captions a
 * sample, caption k of a sample is compared with caption k of the others, as the losses pair them.
 *
 * The columns are sorted by key once, so a tile asks each of its rows for its equals among the
 * columns, and looks at nothing else: B log B + equal pairs, not B^2 comparisons. */
#ifndef TH_TRAINER_LOSS_DUPLICATES_H
#define TH_TRAINER_LOSS_DUPLICATES_H

#include "base/memory.h"
#include "trainer/nn/real.h"

/* A similarity so small that its exponential is 0, at any scale over 1e-28, and whose difference to
 * itself is 0 and not NaN, as that of -INFINITY would be. */
#define TH_MASKED TH_REAL_C(-1e30)

typedef struct {
    int64_t  rows, columns, K;
    int32_t *order; // [K, columns] columns by key, equal ones in ascending order
    int32_t *range; // [K, rows, 2] row i's equals stand at order[range[i, 0]] .. range[i, 1]
    struct th_keyed *keyed; // [columns] while sorting
} th_duplicates;

/* Key of a caption. Local. */
uint64_t th_caption_key(const int32_t *tokens, int64_t count);

/* Arena bytes that th_duplicates_take needs. */
size_t th_duplicates_bytes(int64_t rows, int64_t columns, int64_t K);

/* Room for so many rows and columns (below 2^31). Errors: TH_EIO (arena). Local. */
TH_MUST_CHECK th_code th_duplicates_take(int64_t rows, int64_t columns, int64_t K, th_arena *arena,
                                         th_duplicates *out, th_err *err);

/* Finds the equals of row_key [rows, K] among column_key [columns, K]; no more of both than there
 * is room for. Local. */
void th_duplicates_find(th_duplicates *duplicates, const uint64_t *row_key, int64_t rows,
                        const uint64_t *column_key, int64_t columns);

/* Sets what is equal in pairing k to TH_MASKED, in a tile of rows [row, row + rows) by columns
 * [column, column + columns), but for a row's own column: that of row i is i + own. Local. */
void th_duplicates_mask(const th_duplicates *duplicates, int64_t k, int64_t row, int64_t rows,
                        int64_t column, int64_t columns, int64_t own, th_real *tile);

#endif
