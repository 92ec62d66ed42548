/* dataloader/tokenizer/pairs.h - counted pairs of neighbouring symbols, and the one to merge next.
 *
 * A pair's count is the sum over its places of how often the word there occurs. The queue is a heap
 * whose entries may claim too much, never too little: a pair is queued anew when its count has
 * grown, and an entry that claims more than is true goes back with the true count when it comes up.
 *
 * One thread at a time. */
#ifndef TH_DATALOADER_TOKENIZER_PAIRS_H
#define TH_DATALOADER_TOKENIZER_PAIRS_H

#include "base/error.h"
#include "dataloader/tokenizer/symbols.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_NO_PAIR UINT32_MAX

typedef struct {
    struct th_pair_row {
        uint32_t left, right;
        int32_t  head;  // the owner's: first place of the pair
        bool     grown; // stands in `grown`
        int64_t  count;
    } * rows; // [count]
    struct th_pair_entry {
        int64_t  claimed;
        uint32_t pair;
    } * heap;                // [heap_count]
    uint32_t         *slots; // open addressing: a row or TH_NO_PAIR
    uint32_t         *grown; // [grown_count] pairs to be queued
    size_t            row_room, heap_count, heap_room, slot_mask, grown_count, grown_room;
    uint32_t          count;
    const th_symbols *symbols; // breaks ties: kept
} th_pairs;

TH_MUST_CHECK th_code th_pairs_open(th_pairs *pairs, const th_symbols *symbols, th_err *err);
void                  th_pairs_close(th_pairs *pairs); // accepts zeroed and half-built ones

/* *out = the row of a pair, made with count 0 and head -1 if there is none. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_pairs_find(th_pairs *pairs, uint32_t left, uint32_t right, uint32_t *out,
                                    th_err *err);

/* Adds to a pair's count, and remembers it for th_pairs_queue() when that grows. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_pairs_count(th_pairs *pairs, uint32_t pair, int64_t more, th_err *err);

/* Queues the pairs that have grown since the last call. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_pairs_queue(th_pairs *pairs, th_err *err);

/* Takes the pair of highest count, of equal ones the first by left's and then by right's string;
 * TH_NO_PAIR when none occurs twice. */
uint32_t th_pairs_next(th_pairs *pairs);

#endif
