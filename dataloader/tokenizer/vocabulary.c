// Vocabularies that stand in files of their own: CLIP's vocab.json, BERT's vocab.txt.
#include "base/memory.h"
#include "dataloader/tokenizer/grow.h"
#include "dataloader/tokenizer/merges.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char fix_vocabulary[] = "use the vocabulary and the merges of one model";

// --- CLIP ---

static th_code check_id(const char *token, const json_t *value, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(json_is_integer(value) && json_integer_value(value) >= 0 &&
                 json_integer_value(value) < TH_SYMBOLS_MOST,
             TH_EDATA, fix_vocabulary, "token \"%.80s\" has no id of 0 to %u", token,
             TH_SYMBOLS_MOST - 1);
out:
    return rc;
}

static th_code measure(th_tokenizer *t, const json_t *vocabulary, th_err *err)
{
    th_code     rc = TH_OK;
    const char *token;
    json_t     *value;
    void       *memory;
    int64_t     last = t->begin > t->end ? t->begin : t->end;

    for (int i = 0; i < t->specials.count; i++)
        last = t->specials.rows[i].id > last ? t->specials.rows[i].id : last;
    json_object_foreach((json_t *)(uintptr_t)vocabulary, token, value)
    {
        TH_TRY(check_id(token, value, err));
        last = json_integer_value(value) > last ? json_integer_value(value) : last;
    }
    t->vocabulary = (int32_t)(last + 1);
    TH_TRY(th_alloc((size_t)t->vocabulary, sizeof *t->symbol, "a tokenizer", &memory, err));
    t->symbol = memory;
    memset(t->symbol, 0xFF, (size_t)t->vocabulary * sizeof *t->symbol);
out:
    return rc;
}

// Each symbol has the id of the token that is written as it is. What is not made by merges has none
// and is never written; specials are such.
static th_code place_token(th_tokenizer *t, const char *token, int32_t id, char *bytes, th_err *err)
{
    th_code  rc = TH_OK;
    uint32_t symbol = th_symbol_read(&t->bpe.symbols, token, strlen(token), bytes);

    if (symbol == TH_NO_SYMBOL)
        return TH_OK;
    TH_CHECK(t->symbol[id] < 0, TH_EDATA, fix_vocabulary,
             "two tokens have the id %d: \"%.80s\" is one", (int)id, token);
    t->symbol[id] = (int32_t)symbol;
    t->bpe.id[symbol] = id;
out:
    return rc;
}

static th_code check_symbol(th_tokenizer *t, uint32_t symbol, th_err *err)
{
    th_code                 rc = TH_OK;
    const struct th_symbol *row = &t->bpe.symbols.rows[symbol];

    if (t->bpe.id[symbol] >= 0)
        return TH_OK;
    TH_CHECK(symbol < TH_BYTE_SYMBOLS, TH_EDATA, fix_vocabulary,
             "the vocabulary has not the token \"%.*s%s\", which a merge makes",
             row->size < 80 ? (int)row->size : 80, t->bpe.symbols.bytes + row->at,
             row->ends ? "</w>" : "");
    TH_CHECK(t->unknown >= 0, TH_EDATA, fix_vocabulary,
             "the vocabulary has not the byte 0x%02X%s, nor a token for what is unknown",
             (unsigned char)t->bpe.symbols.bytes[row->at], row->ends ? "</w>" : "");
    t->bpe.id[symbol] = t->unknown;
out:
    return rc;
}

static bool is_special_of_merges(const struct th_special *row, const char *text, int32_t id)
{
    return row->normalized && row->id == id && strcmp(row->text, text) == 0;
}

// Whether the ids are those that the merges file alone gives. Of two merges with one string the
// later one's id counts, and a vocab.json has no place for the other.
static bool is_plain(const th_tokenizer *t)
{
    int32_t words = (int32_t)(TH_BYTE_SYMBOLS + t->bpe.merges);

    if (t->vocabulary != words + 2 || t->begin != words || t->end != words + 1 ||
        t->specials.count != 2 || t->cuts_specials)
        return false;
    for (int32_t id = 0; id < words; id++) {
        uint32_t symbol =
            id < (int32_t)TH_BYTE_SYMBOLS ? (uint32_t)id : t->bpe.result[id - TH_BYTE_SYMBOLS];

        if (t->symbol[id] != (int32_t)symbol && (t->symbol[id] >= 0 || t->bpe.id[symbol] < id))
            return false;
    }
    return is_special_of_merges(&t->specials.rows[0], TH_CLIP_START, t->begin) &&
           is_special_of_merges(&t->specials.rows[1], TH_CLIP_END, t->end);
}

th_code th_tokenizer_read_vocabulary(th_tokenizer *t, const char *merges, size_t size,
                                     const json_t *vocabulary, const char *unknown, th_err *err)
{
    th_code       rc = TH_OK;
    const char   *token;
    json_t       *value;
    char         *bytes = NULL;
    const json_t *unknown_id = unknown ? json_object_get(vocabulary, unknown) : NULL;
    size_t        longest = 1;

    t->kind = TH_TOKENS_CLIP;
    TH_TRY(th_merges_read(merges, size, &t->bpe, &t->merges, &t->merges_size, err));
    TH_TRY(measure(t, vocabulary, err));
    t->unknown =
        unknown_id && json_is_integer(unknown_id) ? (int32_t)json_integer_value(unknown_id) : -1;
    memset(t->bpe.id, 0xFF, t->bpe.symbols.count * sizeof *t->bpe.id);
    json_object_foreach((json_t *)(uintptr_t)vocabulary, token, value) longest =
        strlen(token) > longest ? strlen(token) : longest;
    bytes = malloc(longest);
    TH_CHECK(bytes, TH_EIO, "free some memory", "no memory for a token of %zu bytes", longest);
    json_object_foreach((json_t *)(uintptr_t)vocabulary, token, value)
        TH_TRY(place_token(t, token, (int32_t)json_integer_value(value), bytes, err));
    for (uint32_t symbol = 0; symbol < t->bpe.symbols.count; symbol++)
        TH_TRY(check_symbol(t, symbol, err));
    t->is_plain = is_plain(t);
out:
    free(bytes);
    return rc;
}

// --- BERT ---

typedef struct {
    th_token_row *rows;
    size_t        count, room;
} list;

// What a tokenizer.json can hold too, which is how a pack keeps it: UTF-8 without zero bytes.
static bool is_text(const char *text, size_t size)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t        left = (utf8proc_ssize_t)size, taken;
    utf8proc_int32_t        code;

    for (; left > 0; at += taken, left -= taken) {
        taken = utf8proc_iterate(at, left, &code);
        if (taken <= 0 || code == 0)
            return false;
    }
    return true;
}

static th_code split_lines(const char *text, size_t size, list *out, th_err *err)
{
    th_code     rc = TH_OK;
    const char *end = text + size, *next;

    for (; text < end; text = next + 1) {
        void  *grown = th_grow(out->rows, &out->room, out->count + 1, sizeof *out->rows);
        size_t length;

        TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %zu tokens", out->count);
        out->rows = grown;
        next = memchr(text, '\n', (size_t)(end - text));
        next = next ? next : end;
        length = (size_t)(next - text);
        if (length > 0 && text[length - 1] == '\r')
            length--;
        TH_CHECK(out->count < TH_PIECES_MOST, TH_EDATA, "use a smaller vocabulary",
                 "more than %d tokens", TH_PIECES_MOST);
        TH_CHECK(is_text(text, length), TH_EDATA, "get the vocabulary again from where it is whole",
                 "line %zu of the vocabulary is not UTF-8, or holds a zero byte", out->count + 1);
        out->rows[out->count] = (th_token_row){ text, length, (int32_t)out->count };
        out->count++;
    }
out:
    return rc;
}

static bool is_special(const th_token_row *row)
{
    return row->size > 2 && row->text[0] == '[' && row->text[row->size - 1] == ']';
}

// An uncased vocabulary has no capitals but in "[CLS]" and its like.
static bool has_capitals(const list *tokens)
{
    for (size_t i = 0; i < tokens->count; i++) {
        const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)tokens->rows[i].text;
        utf8proc_ssize_t        left = (utf8proc_ssize_t)tokens->rows[i].size, taken;
        utf8proc_int32_t        code;

        for (; left > 0 && !is_special(&tokens->rows[i]); at += taken, left -= taken) {
            taken = utf8proc_iterate(at, left, &code);
            if (taken <= 0)
                break;
            if (utf8proc_tolower(code) != code)
                return true;
        }
    }
    return false;
}

th_code th_tokenizer_read_list(th_tokenizer *t, const char *text, size_t size, int cased,
                               th_err *err)
{
    static const char *const specials[] = { "[PAD]", TH_BERT_UNKNOWN, "[CLS]", "[SEP]", "[MASK]" };
    th_code                  rc = TH_OK;
    list                     tokens = { 0 };

    t->kind = TH_TOKENS_BERT;
    TH_TRY(split_lines(text, size, &tokens, err));
    TH_TRY(th_wordpiece_open(tokens.rows, tokens.count, TH_BERT_UNKNOWN, TH_BERT_CHARACTERS,
                             &t->pieces, err));
    t->unknown = t->pieces.unknown;
    t->vocabulary = (int32_t)tokens.count;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        int32_t id = th_wordpiece_find(&t->pieces, specials[i], strlen(specials[i]));

        if (id != TH_NO_TOKEN)
            (void)th_specials_add(&t->specials, specials[i], id, false);
    }
    t->begin = th_specials_find(&t->specials, "[CLS]", strlen("[CLS]"));
    t->end = th_specials_find(&t->specials, "[SEP]", strlen("[SEP]"));
    TH_CHECK(t->begin >= 0 && t->end >= 0, TH_EDATA, "use the vocabulary as its model came with it",
             "the vocabulary has no token \"%s\"", t->begin < 0 ? "[CLS]" : "[SEP]");
    cased = cased < 0 ? has_capitals(&tokens) : cased;
    t->cleaner = (th_cleaner){ .kind = TH_CLEANUP_BERT,
                               .clean_text = true,
                               .handle_chinese_chars = true,
                               .strip_accents = !cased,
                               .lowercase = !cased };
out:
    free(tokens.rows);
    return rc;
}
