#include "dataloader/tokenizer/words.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/grow.h"
#include "dataloader/tokenizer/split.h"
#include <stdlib.h>
#include <string.h>

static const char fix_memory[] = "train on fewer captions";

static th_code grow_slots(th_words *words, th_err *err)
{
    th_code rc = TH_OK;
    size_t  count = words->slots ? 2 * (words->slot_mask + 1) : 4096;
    void   *slots;

    TH_TRY(th_alloc(count, sizeof *words->slots, "the words of the captions", &slots, err));
    free(words->slots);
    words->slots = slots;
    words->slot_mask = count - 1;
    memset(words->slots, 0xFF, count * sizeof *words->slots);
    for (uint32_t i = 0; i < words->count; i++) {
        size_t slot = (size_t)words->rows[i].hash & words->slot_mask;

        while (words->slots[slot] != UINT32_MAX)
            slot = (slot + 1) & words->slot_mask;
        words->slots[slot] = i;
    }
out:
    return rc;
}

static th_code append(th_words *words, const th_word *word, uint64_t hash, th_err *err)
{
    th_code rc = TH_OK;
    void   *rows, *bytes;

    TH_CHECK(words->bytes_used + word->size <= TH_WORD_BYTES_MOST, TH_EUSAGE, fix_memory,
             "the captions' distinct words have over %zu bytes", TH_WORD_BYTES_MOST);
    rows = th_grow(words->rows, &words->row_room, (size_t)words->count + 1, sizeof *words->rows);
    TH_CHECK(rows, TH_EIO, fix_memory, "no memory for %u words", words->count);
    words->rows = rows;
    bytes = th_grow(words->bytes, &words->bytes_room, words->bytes_used + word->size, 1);
    TH_CHECK(bytes, TH_EIO, fix_memory, "no memory for %u words", words->count);
    words->bytes = bytes;
    memcpy(words->bytes + words->bytes_used, word->text, word->size);
    words->rows[words->count++] =
        (struct th_word_row){ hash, words->bytes_used, (uint32_t)word->size, 1 };
    words->bytes_used += word->size;
out:
    return rc;
}

static th_code count_word(th_words *words, const th_word *word, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t hash = th_hash(word->text, word->size);
    size_t   slot;

    if (2 * (size_t)words->count >= words->slot_mask)
        TH_TRY(grow_slots(words, err));
    slot = (size_t)hash & words->slot_mask;
    for (; words->slots[slot] != UINT32_MAX; slot = (slot + 1) & words->slot_mask) {
        struct th_word_row *row = &words->rows[words->slots[slot]];

        if (row->hash == hash && row->size == word->size &&
            memcmp(words->bytes + row->at, word->text, word->size) == 0) {
            row->times++;
            return TH_OK;
        }
    }
    words->slots[slot] = words->count;
    TH_TRY(append(words, word, hash, err));
out:
    return rc;
}

th_code th_words_add(th_words *words, const char *caption, size_t size, th_err *err)
{
    th_code     rc = TH_OK;
    size_t      clean_size;
    const char *clean;
    th_word     word;

    TH_CHECK(size <= TH_CAPTION_MOST, TH_EUSAGE, "leave it out", "a caption of %zu bytes", size);
    clean = th_text_clean(&words->cleaner, caption, size, &words->clean, &clean_size);
    TH_CHECK(clean, TH_EIO, "free some memory", "no memory for a caption of %zu bytes", size);
    th_splitter splitter = { .kind = words->cleaner.kind, .at = clean, .end = clean + clean_size };
    while (th_word_next(&splitter, &word))
        if (word.kind == TH_WORD_TEXT)
            TH_TRY(count_word(words, &word, err));
out:
    return rc;
}

void th_words_close(th_words *words)
{
    free(words->rows);
    free(words->bytes);
    free(words->slots);
    th_clean_room_done(&words->clean);
    *words = (th_words){ 0 };
}
