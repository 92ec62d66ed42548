/* dataloader/tokenizer/words.h - how often each word occurs in the captions a tokenizer is trained
 * on.
 *
 * One thread at a time. */
#ifndef TH_DATALOADER_TOKENIZER_WORDS_H
#define TH_DATALOADER_TOKENIZER_WORDS_H

#include "base/error.h"
#include "dataloader/tokenizer/clean.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    struct th_word_row {
        uint64_t hash;
        size_t   at; // in bytes
        uint32_t size;
        int64_t  times;
    } * rows;                 // [count], in the order in which they were first seen
    char         *bytes;      // of all distinct words, back to back
    uint32_t     *slots;      // open addressing: a row or UINT32_MAX
    size_t        bytes_used; // at most TH_WORD_BYTES_MOST
    size_t        bytes_room, row_room, slot_mask;
    uint32_t      count;
    th_cleaner    cleaner; // given by the caller
    th_clean_room clean;
} th_words; // starts zeroed, but for the cleaner

#define TH_WORD_BYTES_MOST ((size_t)1 << 30)

/* Cleans a caption, splits it, and counts its words. Errors: TH_EUSAGE when the distinct words have
 * over TH_WORD_BYTES_MOST bytes or the caption over TH_CAPTION_MOST, TH_EIO. */
TH_MUST_CHECK th_code th_words_add(th_words *words, const char *caption, size_t size, th_err *err);
void                  th_words_close(th_words *words);

#endif
