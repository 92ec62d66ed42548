// Captions to ids, and the cache of words that makes it fast.
#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/split.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include <stdlib.h>
#include <string.h>

// A word and its ids in one cache line; longer words are encoded each time. Direct mapped: a new
// word takes the slot of the old one, so ever new words cost no more than without a cache.
#define CACHE_SLOTS ((size_t)1 << 14) // 1 MiB
#define SLOT_BYTES  34
#define SLOT_IDS    7
typedef struct {
    uint8_t size, count; // size 0: empty
    char    bytes[SLOT_BYTES];
    int32_t ids[SLOT_IDS];
} cache_slot;
_Static_assert(sizeof(cache_slot) == 64, "a slot is a cache line");

struct th_token_cache {
    cache_slot   *slots;
    uint64_t      hash; // of the tokenizer whose ids these are
    th_clean_room clean;
    th_scratch    word;
};

th_code th_token_cache_open(th_token_cache **out, th_err *err)
{
    th_code         rc = TH_OK;
    th_token_cache *cache = NULL;
    void           *memory;

    TH_TRY(th_alloc(1, sizeof *cache, "a cache of words", &memory, err));
    cache = memory;
    TH_TRY(th_alloc(CACHE_SLOTS, sizeof *cache->slots, "a cache of words", &memory, err));
    cache->slots = memory;
    *out = cache;
out:
    if (rc != TH_OK)
        th_token_cache_close(cache);
    return rc;
}

void th_token_cache_close(th_token_cache *cache)
{
    if (!cache)
        return;
    free(cache->slots);
    th_clean_room_done(&cache->clean);
    free(cache->word.memory);
    free(cache);
}

// What is being written: ids[0 .. count), and room + 1 for more than fit.
typedef struct {
    const th_tokenizer *tokenizer;
    th_token_cache     *cache;
    int32_t            *ids;
    int64_t             count, room;
} writer;

static void append(writer *w, const int32_t *ids, int64_t n)
{
    int64_t fits = n < w->room - w->count ? n : w->room - w->count;

    if (fits > 0)
        memcpy(w->ids + w->count, ids, (size_t)fits * sizeof *ids);
    w->count = fits < n ? w->room + 1 : w->count + n;
}

// The ids of a word, in the scratch until its next use; -1 when memory is out.
static int64_t ids_of_word(writer *w, const th_word *word, const int32_t **out)
{
    const th_tokenizer *t = w->tokenizer;
    const uint32_t     *symbols;
    int32_t            *ids;
    int64_t             n;

    if (t->kind == TH_TOKENS_BERT) {
        ids = th_scratch_take(&w->cache->word, word->size * sizeof *ids);
        *out = ids;
        return ids ? th_wordpiece_word(&t->pieces, word->text, word->size, ids) : -1;
    }
    n = th_bpe_word(&t->bpe, word->text, word->size, &w->cache->word, &symbols);
    if (n < 0)
        return -1;
    ids = (int32_t *)(uintptr_t)symbols; // they are the scratch's own: in place
    for (int64_t i = 0; i < n; i++)
        ids[i] = t->bpe.id[symbols[i]];
    *out = ids;
    return n;
}

static bool append_word(writer *w, const th_word *word)
{
    cache_slot    *slot = NULL;
    const int32_t *ids;
    int64_t        n;

    if (word->kind != TH_WORD_TEXT) {
        append(w, word->kind == TH_WORD_START ? &w->tokenizer->begin : &w->tokenizer->end, 1);
        return true;
    }
    if (w->cache->slots && word->size <= SLOT_BYTES) {
        slot = &w->cache->slots[th_hash(word->text, word->size) % CACHE_SLOTS];
        if (slot->size == word->size && memcmp(slot->bytes, word->text, word->size) == 0) {
            append(w, slot->ids, slot->count);
            return true;
        }
    }
    n = ids_of_word(w, word, &ids);
    if (n < 0)
        return false;
    if (slot && n <= SLOT_IDS) {
        slot->size = (uint8_t)word->size;
        slot->count = (uint8_t)n;
        memcpy(slot->bytes, word->text, word->size);
        memcpy(slot->ids, ids, (size_t)n * sizeof *ids);
    }
    append(w, ids, n);
    return true;
}

static bool append_words(writer *w, const char *clean, size_t size)
{
    th_splitter splitter = { .kind = w->tokenizer->cleaner.kind,
                             .cuts_specials = w->tokenizer->cuts_specials,
                             .at = clean,
                             .end = clean + size };
    th_word     word;

    while (w->count <= w->room && th_word_next(&splitter, &word))
        if (!append_word(w, &word))
            return false;
    return true;
}

// Text between special tokens is `append`ed, and they with their ids. What is between raw ones is
// cleaned for itself, and the normalized ones are looked for in that.
static bool append_around(writer *w, bool normalized, const char *text, size_t size,
                          bool (*append_between)(writer *w, const char *text, size_t size))
{
    const th_specials       *specials = &w->tokenizer->specials;
    const struct th_special *found;
    size_t                   at;

    while (w->count <= w->room &&
           (found = th_specials_next(specials, normalized, text, size, &at))) {
        if (!append_between(w, text, at))
            return false;
        append(w, &found->id, 1);
        text += at + found->size;
        size -= at + found->size;
    }
    return append_between(w, text, size);
}

static bool append_text(writer *w, const char *text, size_t size)
{
    size_t      clean_size;
    const char *clean =
        th_text_clean(&w->tokenizer->cleaner, text, size, &w->cache->clean, &clean_size);

    return clean && append_around(w, true, clean, clean_size, append_words);
}

int64_t th_tokenizer_encode(const th_tokenizer *tokenizer, const char *text, size_t size,
                            th_token_cache *cache, int32_t *ids, int64_t room)
{
    th_token_cache lone = { 0 };
    writer         w = { tokenizer, cache ? cache : &lone, ids, 0, room };
    bool           done;

    if (size > TH_CAPTION_MOST)
        return -1;
    if (cache && cache->hash != tokenizer->hash) {
        memset(cache->slots, 0, CACHE_SLOTS * sizeof *cache->slots);
        cache->hash = tokenizer->hash;
    }
    done = append_around(&w, false, text, size, append_text);
    if (!cache) {
        th_clean_room_done(&lone.clean);
        free(lone.word.memory);
    }
    return done ? w.count : -1;
}
