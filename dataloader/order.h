/* dataloader/order.h - which sample stands at a position: a pure function of (seed, position).
 *
 * Position p is place p % records of epoch p / records; in an epoch every record comes once.
 * Shuffled: blocks of TH_ORDER_BLOCK consecutive records are permuted by a keyed permutation (a
 * Feistel network over a power of four, walked until it lands inside: O(1) memory), then places are
 * permuted inside windows of TH_ORDER_WINDOW places, so that reads stay near each other on disk
 * while the order is random over a window. Block 0 begins at another record in each epoch (a keyed
 * rotation), and the records that do not fill a block come in the last window. `samples_seen` is
 * the whole cursor of a run. The order is part of the format: a test holds it to frozen values. All
 * functions are local, any thread. */
#ifndef TH_DATALOADER_ORDER_H
#define TH_DATALOADER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#define TH_ORDER_BLOCK  64
#define TH_ORDER_WINDOW 16384

typedef struct {
    uint64_t seed;
    int64_t  records;  // >= 1
    bool     shuffled; // false: sequential
} th_order;

int64_t th_order_epoch(const th_order *order, int64_t position);
int64_t th_order_record(const th_order *order, int64_t position);

#endif
