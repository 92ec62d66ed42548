/* dataloader/tokenizer/bpe.h - a table of merges, and one word merged by it.
 *
 * The scheme is CLIP's, round by round: of all pairs of neighbours the one of lowest rank is merged
 * everywhere in the word, from left to right, until no pair has a rank. Short words are scanned
 * once a round. Long ones keep their pairs in a heap, O(n log n) for n bytes: a word may be a
 * megabyte. */
#ifndef TH_DATALOADER_TOKENIZER_BPE_H
#define TH_DATALOADER_TOKENIZER_BPE_H

#include "base/error.h"
#include "dataloader/tokenizer/grow.h"
#include "dataloader/tokenizer/symbols.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    th_symbols symbols;
    uint64_t  *slots;      // open addressing: left 20 bits, right 20, rank 24; all ones when empty
    uint32_t  *result;     // [merges] rank -> symbol
    uint32_t  *byte_ranks; // [256, 512] the ranks of pairs of byte symbols, all ones for none:
                           // neighbours here are neighbours in a text, so few cache lines are used
    int32_t *id; // [symbols.count] the token id: the last place in the vocabulary that has it
    size_t   slot_mask;
    uint32_t merges, room;
} th_bpe; // immutable once filled: any thread may read

TH_MUST_CHECK th_code th_bpe_open(th_bpe *bpe, uint32_t merges, th_err *err);
void                  th_bpe_close(th_bpe *bpe); // accepts zeroed and half-built ones

/* Adds the merge of the next rank; a pair that has one already keeps the lower. Errors: TH_EUSAGE
 * when there are more than th_bpe_open() was told, or TH_SYMBOLS_MOST symbols; TH_EIO. */
TH_MUST_CHECK th_code th_bpe_add(th_bpe *bpe, uint32_t left, uint32_t right, th_err *err);

/* Sets `id` once all merges are in. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_bpe_finish(th_bpe *bpe, th_err *err);

/* The symbols of a word of size >= 1 bytes: points into scratch, valid until its next use. Returns
 * their number, -1 when memory is out. */
int64_t th_bpe_word(const th_bpe *bpe, const char *word, size_t size, th_scratch *scratch,
                    const uint32_t **out_symbols);

#endif
