#include "dataloader/tokenizer/tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/bpe.h"
#include "dataloader/tokenizer/merges.h"
#include "dataloader/tokenizer/split.h"
#include "dataloader/tokenizer/unicode.h"
#include <stdlib.h>
#include <string.h>

#define MERGES_MOST ((size_t)64 << 20) // bytes of a merges file; CLIP's has 3 MB

struct th_tokenizer {
    th_bpe   bpe;
    int32_t *symbol; // [vocabulary - 2] id -> symbol
    uint64_t hash;
};

// A word and its ids in one cache line; longer words are merged each time. Direct mapped: a new
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
    cache_slot *slots;
    uint64_t    hash;  // of the tokenizer whose ids these are
    th_scratch  clean; // the cleaned caption
    th_scratch  word;
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
    free(cache->clean.memory);
    free(cache->word.memory);
    free(cache);
}

th_code th_tokenizer_open(const char *merges, size_t size, th_tokenizer **out, th_err *err)
{
    th_code       rc = TH_OK;
    th_tokenizer *tokenizer = NULL;
    void         *memory;

    TH_TRY(th_alloc(1, sizeof *tokenizer, "a tokenizer", &memory, err));
    tokenizer = memory;
    TH_TRY(th_merges_read(merges, size, &tokenizer->bpe, &tokenizer->hash, err));
    TH_TRY(th_alloc(TH_BYTE_SYMBOLS + tokenizer->bpe.merges, sizeof *tokenizer->symbol,
                    "a tokenizer", &memory, err));
    tokenizer->symbol = memory;
    for (uint32_t i = 0; i < TH_BYTE_SYMBOLS; i++)
        tokenizer->symbol[i] = (int32_t)i;
    for (uint32_t rank = 0; rank < tokenizer->bpe.merges; rank++)
        tokenizer->symbol[TH_BYTE_SYMBOLS + rank] = (int32_t)tokenizer->bpe.result[rank];
    *out = tokenizer;
out:
    if (rc != TH_OK)
        th_tokenizer_close(tokenizer);
    return rc;
}

th_code th_tokenizer_open_file(const char *path, th_tokenizer **out, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL;
    size_t  size;

    TH_TRY(th_file_read(path, MERGES_MOST, &text, &size, err));
    TH_TRY(th_tokenizer_open(text, size, out, err));
out:
    free(text);
    return rc == TH_OK ? rc : th_during(err, "opening tokenizer \"%s\"", path);
}

void th_tokenizer_close(th_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    th_bpe_close(&tokenizer->bpe);
    free(tokenizer->symbol);
    free(tokenizer);
}

int64_t th_tokenizer_vocabulary(const th_tokenizer *tokenizer)
{
    return (int64_t)TH_BYTE_SYMBOLS + tokenizer->bpe.merges + 2;
}

th_token_kind th_tokenizer_kind(const th_tokenizer *tokenizer)
{
    (void)tokenizer;
    return TH_TOKENS_CLIP;
}

int32_t th_tokenizer_begin(const th_tokenizer *tokenizer)
{
    return (int32_t)(th_tokenizer_vocabulary(tokenizer) - 2);
}

int32_t th_tokenizer_end(const th_tokenizer *tokenizer)
{
    return (int32_t)(th_tokenizer_vocabulary(tokenizer) - 1);
}

uint64_t th_tokenizer_hash(const th_tokenizer *tokenizer)
{
    return tokenizer->hash;
}

_Bool th_tokenizer_token(const th_tokenizer *tokenizer, int32_t id, const char **out_bytes,
                         size_t *out_size, _Bool *out_ends)
{
    static const char       special[2][16] = { "<|startoftext|>", "<|endoftext|>" };
    int64_t                 sot = th_tokenizer_vocabulary(tokenizer) - 2;
    const struct th_symbol *row;

    if (id < 0 || id >= sot + 2)
        return false;
    if (id >= sot) {
        *out_bytes = special[id - sot];
        *out_size = strnlen(special[id - sot], sizeof special[0]);
        *out_ends = true;
        return true;
    }
    row = &tokenizer->bpe.symbols.rows[tokenizer->symbol[id]];
    *out_bytes = tokenizer->bpe.symbols.bytes + row->at;
    *out_size = row->size;
    *out_ends = row->ends;
    return true;
}

// Copies a word's ids to where `count` ids stand already; returns how many stand then, room + 1
// when they do not fit.
static int64_t append(int32_t *ids, int64_t count, int64_t room, const int32_t *more, int64_t n)
{
    int64_t fits = n < room - count ? n : room - count;

    if (fits > 0)
        memcpy(ids + count, more, (size_t)fits * sizeof *ids);
    return fits < n ? room + 1 : count + n;
}

// Merges a word; fills its slot, unless that is NULL or the word is too long for it.
static int64_t append_merged(const th_tokenizer *tokenizer, const th_word *word, cache_slot *slot,
                             th_scratch *scratch, int32_t *ids, int64_t count, int64_t room)
{
    const uint32_t *symbols;
    int64_t         n = th_bpe_word(&tokenizer->bpe, word->text, word->size, scratch, &symbols);

    if (n < 0)
        return -1;
    if (slot && n <= SLOT_IDS) {
        slot->size = (uint8_t)word->size;
        slot->count = (uint8_t)n;
        memcpy(slot->bytes, word->text, word->size);
        for (int64_t i = 0; i < n; i++)
            slot->ids[i] = tokenizer->bpe.id[symbols[i]];
    }
    for (int64_t i = 0; i < n && count <= room; i++)
        count = append(ids, count, room, &tokenizer->bpe.id[symbols[i]], 1);
    return count;
}

static int64_t append_word(const th_tokenizer *tokenizer, const th_word *word, cache_slot *slots,
                           th_scratch *scratch, int32_t *ids, int64_t count, int64_t room)
{
    cache_slot *slot = NULL;

    if (word->kind != TH_WORD_TEXT) {
        int32_t id =
            word->kind == TH_WORD_SOT ? th_tokenizer_begin(tokenizer) : th_tokenizer_end(tokenizer);

        return append(ids, count, room, &id, 1);
    }
    if (slots && word->size <= SLOT_BYTES) {
        slot = &slots[th_hash(word->text, word->size) % CACHE_SLOTS];
        if (slot->size == word->size && memcmp(slot->bytes, word->text, word->size) == 0)
            return append(ids, count, room, slot->ids, slot->count);
    }
    return append_merged(tokenizer, word, slot, scratch, ids, count, room);
}

int64_t th_tokenizer_encode(const th_tokenizer *tokenizer, const char *text, size_t size,
                            th_token_cache *cache, int32_t *ids, int64_t room)
{
    th_token_cache lone = { 0 };
    char          *clean;
    int64_t        count = -1;

    if (cache && cache->hash != tokenizer->hash) {
        memset(cache->slots, 0, CACHE_SLOTS * sizeof *cache->slots);
        cache->hash = tokenizer->hash;
    }
    if (!cache)
        cache = &lone;
    if (size <= TH_CAPTION_MOST &&
        (clean = th_scratch_take(&cache->clean, TH_CLEAN_ROOM(size) + size + 1))) {
        const char *at = clean + size, *end = at + th_text_clean(text, size, clean, clean + size);
        th_word     word;

        for (count = 0; count >= 0 && count <= room && th_word_next(&at, end, &word);)
            count = append_word(tokenizer, &word, cache->slots, &cache->word, ids, count, room);
    }
    free(lone.clean.memory);
    free(lone.word.memory);
    return count;
}
