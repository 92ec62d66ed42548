#include "dataloader/tokenizer/tokenizer.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/merges.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include "dataloader/tokenizer/unzip.h"
#include <stdlib.h>
#include <string.h>

static const char *const cleanup_names[] = { "default", "open_clip", "hf", "bert" };

const char *th_cleanup_name(th_cleanup cleanup)
{
    return cleanup_names[cleanup];
}

_Bool th_cleanup_find(const char *name, th_cleanup *out)
{
    for (th_cleanup i = TH_CLEANUP_OPEN_CLIP; i <= TH_CLEANUP_HF; i++)
        if (strcmp(name, cleanup_names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

// --- opening ---

static bool starts_with(const char *text, size_t size, const char *prefix)
{
    return size >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static th_code read_text(th_tokenizer *tokenizer, const char *text, size_t size, th_err *err)
{
    if (starts_with(text, size, "{"))
        return th_tokenizer_read_json(tokenizer, text, size, err);
    if (!starts_with(text, size, "#") && memmem(text, size, TH_BERT_UNKNOWN, 5))
        return th_tokenizer_read_list(tokenizer, text, size, -1, err);
    return th_tokenizer_read_merges(tokenizer, text, size, err);
}

th_code th_tokenizer_open_as(const char *text, size_t size, th_cleanup cleanup, th_tokenizer **out,
                             th_err *err)
{
    th_code       rc = TH_OK;
    th_tokenizer *tokenizer = NULL;
    char         *plain = NULL;
    void         *memory;

    TH_TRY(th_alloc(1, sizeof *tokenizer, "a tokenizer", &memory, err));
    tokenizer = memory;
    if (th_is_gzip(text, size)) {
        TH_TRY(th_unzip(text, size, TH_TOKENIZER_BYTES, &plain, &size, err));
        text = plain;
    }
    TH_TRY(read_text(tokenizer, text, size, err));
    TH_TRY(th_tokenizer_finish(tokenizer, cleanup, err));
    *out = tokenizer;
    tokenizer = NULL;
out:
    free(plain);
    th_tokenizer_close(tokenizer);
    return rc;
}

th_code th_tokenizer_open(const char *text, size_t size, th_tokenizer **out, th_err *err)
{
    return th_tokenizer_open_as(text, size, TH_CLEANUP_DEFAULT, out, err);
}

th_code th_tokenizer_open_file(const char *path, th_tokenizer **out, th_err *err)
{
    return th_tokenizer_find(path, TH_CLEANUP_DEFAULT, out, err);
}

void th_tokenizer_close(th_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    th_bpe_close(&tokenizer->bpe);
    free(tokenizer->symbol);
    free(tokenizer->merges);
    th_wordpiece_close(&tokenizer->pieces);
    free(tokenizer);
}

th_code th_tokenizer_read_merges(th_tokenizer *t, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;
    int32_t words;

    t->kind = TH_TOKENS_CLIP;
    t->is_plain = true;
    TH_TRY(th_merges_read(text, size, &t->bpe, &t->merges, &t->merges_size, err));
    words = (int32_t)(TH_BYTE_SYMBOLS + t->bpe.merges);
    t->begin = words;
    t->end = words + 1;
    t->vocabulary = words + 2;
    t->unknown = t->end; // as Hugging Face's files name it; no byte is missing
    (void)th_specials_add(&t->specials, TH_CLIP_START, t->begin, true);
    (void)th_specials_add(&t->specials, TH_CLIP_END, t->end, true);
    TH_TRY(th_alloc((size_t)t->vocabulary, sizeof *t->symbol, "a tokenizer", &memory, err));
    t->symbol = memory;
    for (uint32_t i = 0; i < TH_BYTE_SYMBOLS; i++)
        t->symbol[i] = (int32_t)i;
    for (uint32_t rank = 0; rank < t->bpe.merges; rank++)
        t->symbol[TH_BYTE_SYMBOLS + rank] = (int32_t)t->bpe.result[rank];
    t->symbol[t->begin] = t->symbol[t->end] = -1;
out:
    return rc;
}

// --- what follows from the rest ---

// The id that a string has in the vocabulary, -1 for none.
static int32_t id_of(const th_tokenizer *t, const char *text, size_t size)
{
    char bytes[TH_SPECIAL_BYTES];

    if (t->kind == TH_TOKENS_BERT)
        return th_wordpiece_find(&t->pieces, text, size);
    uint32_t symbol = th_symbol_read(&t->bpe.symbols, text, size, bytes);
    int32_t  id = symbol == TH_NO_SYMBOL ? -1 : t->bpe.id[symbol];
    return id >= 0 && t->symbol[id] == (int32_t)symbol ? id : -1; // else it is unknown
}

static bool is_taken(const th_tokenizer *t, int32_t id)
{
    if (t->kind == TH_TOKENS_CLIP)
        return t->symbol[id] >= 0;
    return (uint32_t)id < t->pieces.count && t->pieces.rows[id].size > 0;
}

// A special token may be one of the vocabulary, with the id that it has there; else its id is its
// own. Files could not say it otherwise.
static th_code check_special(const th_tokenizer *t, int i, th_err *err)
{
    static const char        fix[] = "use the tokenizer as its model came with it";
    th_code                  rc = TH_OK;
    const struct th_special *row = &t->specials.rows[i];
    int32_t                  id = id_of(t, row->text, row->size);

    TH_CHECK(id < 0 || id == row->id, TH_EDATA, fix,
             "special token \"%s\" has the id %d, and in the vocabulary %d", row->text,
             (int)row->id, (int)id);
    TH_CHECK(id >= 0 || !is_taken(t, row->id), TH_EDATA, fix,
             "special token \"%s\" has the id %d, which is another token's", row->text,
             (int)row->id);
    for (int k = 0; k < i; k++)
        TH_CHECK(t->specials.rows[k].id != row->id, TH_EDATA, fix,
                 "special tokens \"%s\" and \"%s\" have one id, %d", t->specials.rows[k].text,
                 row->text, (int)row->id);
out:
    return rc;
}

static void hash_specials(th_hasher *hasher, const th_specials *specials)
{
    for (int i = 0; i < specials->count; i++) {
        const struct th_special *row = &specials->rows[i];
        int32_t                  numbers[2] = { row->id, row->normalized };

        th_hasher_add(hasher, row->text, row->size + 1);
        th_hasher_add(hasher, numbers, sizeof numbers);
    }
}

// Of every token that counts with its id and length, so that two strings never run into each other.
static void hash_tokens(th_hasher *hasher, const th_tokenizer *t)
{
    const char *bytes;
    size_t      size;
    bool        ends;

    for (int32_t id = 0; id < t->vocabulary; id++) {
        if (!th_tokenizer_token(t, id, &bytes, &size, &ends) ||
            !th_tokenizer_counts(t, id, bytes, size))
            continue;
        int32_t numbers[3] = { id, (int32_t)size, ends };
        th_hasher_add(hasher, numbers, sizeof numbers);
        th_hasher_add(hasher, bytes, size);
    }
}

// Plain merges with open_clip's cleanup have the hash of their lines, as they had before there was
// anything else: packs hold it.
static th_code hash_all(th_tokenizer *t, th_err *err)
{
    th_code       rc = TH_OK;
    th_hasher    *hasher = NULL;
    const int64_t about[] = { t->kind,
                              t->cleaner.kind,
                              t->cleaner.clean_text,
                              t->cleaner.handle_chinese_chars,
                              t->cleaner.strip_accents,
                              t->cleaner.lowercase,
                              t->begin,
                              t->end,
                              t->unknown,
                              t->pieces.most_characters,
                              t->cuts_specials };

    TH_TRY(th_hasher_open(&hasher, err));
    if (t->merges)
        th_hasher_add(hasher, t->merges, t->merges_size);
    if (!t->is_plain || t->cleaner.kind != TH_CLEANUP_OPEN_CLIP)
        th_hasher_add(hasher, about, sizeof about);
    if (!t->is_plain) {
        hash_specials(hasher, &t->specials);
        hash_tokens(hasher, t);
    }
    t->hash = th_hasher_value(hasher);
out:
    th_hasher_close(hasher);
    return rc;
}

th_code th_tokenizer_finish(th_tokenizer *t, th_cleanup cleanup, th_err *err)
{
    th_code rc = TH_OK;

    if (t->kind == TH_TOKENS_BERT) {
        TH_CHECK(cleanup == TH_CLEANUP_DEFAULT || cleanup == TH_CLEANUP_BERT, TH_EUSAGE,
                 "leave the cleanup out", "cleanup %s is CLIP's: a BERT vocabulary has its own",
                 th_cleanup_name(cleanup));
        cleanup = TH_CLEANUP_BERT;
    }
    TH_CHECK(t->kind == TH_TOKENS_BERT || cleanup != TH_CLEANUP_BERT, TH_EUSAGE,
             "use open_clip or hf", "cleanup bert is BERT's, the tokenizer is CLIP's");
    if (cleanup != TH_CLEANUP_DEFAULT)
        t->cleaner.kind = cleanup;
    else if (t->cleaner.kind == TH_CLEANUP_DEFAULT)
        t->cleaner.kind = t->is_plain ? TH_CLEANUP_OPEN_CLIP : TH_CLEANUP_HF;
    for (int i = 0; i < t->specials.count; i++)
        TH_TRY(check_special(t, i, err));
    if (t->cleaner.kind == TH_CLEANUP_OPEN_CLIP) // its pattern finds them
        memset(t->specials.first, 0, sizeof t->specials.first);
    TH_TRY(hash_all(t, err));
out:
    return rc;
}

// --- asking ---

th_token_kind th_tokenizer_kind(const th_tokenizer *tokenizer)
{
    return tokenizer->kind;
}

th_cleanup th_tokenizer_cleanup(const th_tokenizer *tokenizer)
{
    return tokenizer->cleaner.kind;
}

int64_t th_tokenizer_vocabulary(const th_tokenizer *tokenizer)
{
    return tokenizer->vocabulary;
}

int64_t th_tokenizer_context(const th_tokenizer *tokenizer)
{
    return tokenizer->kind == TH_TOKENS_BERT ? 128 : 77;
}

int32_t th_tokenizer_begin(const th_tokenizer *tokenizer)
{
    return tokenizer->begin;
}

int32_t th_tokenizer_end(const th_tokenizer *tokenizer)
{
    return tokenizer->end;
}

uint64_t th_tokenizer_hash(const th_tokenizer *tokenizer)
{
    return tokenizer->hash;
}

#define CLIPS_HASH 0xa301521285214fb4u // of bpe_simple_vocab_16e6.txt's merges

_Bool th_tokenizer_is_clips(const th_tokenizer *tokenizer)
{
    return tokenizer->hash == CLIPS_HASH;
}

static bool special_token(const th_specials *specials, int32_t id, const char **out_bytes,
                          size_t *out_size)
{
    for (int i = 0; i < specials->count; i++)
        if (specials->rows[i].id == id) {
            *out_bytes = specials->rows[i].text;
            *out_size = specials->rows[i].size;
            return true;
        }
    return false;
}

_Bool th_tokenizer_token(const th_tokenizer *t, int32_t id, const char **out_bytes,
                         size_t *out_size, _Bool *out_ends)
{
    if (id < 0 || id >= t->vocabulary)
        return false;
    *out_ends = t->kind == TH_TOKENS_CLIP;
    if (special_token(&t->specials, id, out_bytes, out_size))
        return true;
    if (t->kind == TH_TOKENS_CLIP) {
        const struct th_symbol *row;

        if (t->symbol[id] < 0)
            return false;
        row = &t->bpe.symbols.rows[t->symbol[id]];
        *out_bytes = t->bpe.symbols.bytes + row->at;
        *out_size = row->size;
        *out_ends = row->ends;
        return true;
    }
    if ((uint32_t)id >= t->pieces.count || t->pieces.rows[id].size == 0)
        return false;
    *out_bytes = t->pieces.bytes + t->pieces.rows[id].at;
    *out_size = t->pieces.rows[id].size;
    return true;
}

bool th_tokenizer_counts(const th_tokenizer *t, int32_t id, const char *bytes, size_t size)
{
    if (t->kind == TH_TOKENS_CLIP)
        return t->symbol[id] < 0 || t->bpe.id[t->symbol[id]] == id;
    int32_t special = th_specials_find(&t->specials, bytes, size);
    return (special >= 0 ? special : th_wordpiece_find(&t->pieces, bytes, size)) == id;
}
