// Hugging Face's BertNormalizer and BertPreTokenizer in one pass. A caption without marks that are
// kept needs no sorting, so nearly all are stripped character by character.
#include "dataloader/tokenizer/characters.h"
#include "dataloader/tokenizer/clean.h"
#include "dataloader/tokenizer/unicode.h"
#include <utf8proc.h>

typedef struct {
    const th_cleaner *cleaner;
    const uint16_t   *table;
    char             *out, *put;
    bool              space; // before the next character
} writer;

static inline void put_one(writer *w, uint32_t code, bool apart)
{
    if (apart || w->space) {
        if (w->put > w->out)
            *w->put++ = ' ';
        w->space = false;
    }
    if (code < 0x80)
        *w->put++ = (char)code;
    else
        w->put += th_utf8_put(code, w->put);
    w->space = apart;
}

static inline void put_lower(writer *w, uint32_t code, bool apart)
{
    uint16_t bits = th_traits_of(w->table, code);

    if (w->cleaner->lowercase && bits & TH_HAS_LOWER) {
        if (code == 0x130) {
            put_one(w, 'i', apart);
            code = 0x307;
        } else {
            code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
        }
    }
    put_one(w, code, apart || bits & TH_BERT_PUNCTUATION);
}

// A character's base, without its marks. False when it has a mark that is kept.
static bool put_stripped(writer *w, uint32_t code, bool apart)
{
    utf8proc_int32_t parts[8];
    int              unused = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t count =
        utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8, UTF8PROC_DECOMPOSE, &unused);

    for (utf8proc_ssize_t i = 0; i < count; i++) {
        uint16_t bits = th_traits_of(w->table, (uint32_t)parts[i]);

        if (bits & TH_BERT_MARK)
            continue;
        if (bits & TH_COMBINES)
            return false;
        put_lower(w, (uint32_t)parts[i], apart);
    }
    return true;
}

// Composed by Unicode 13; Hugging Face's table is of 12.
#define YOUNGEST_COMPOSED 0x11938

size_t th_clean_bert(const th_cleaner *cleaner, bool decomposed, const unsigned char *text,
                     size_t size, char *out)
{
    const unsigned char *at = text, *end = text + size;
    writer w = { .cleaner = cleaner, .table = th_traits_table(), .out = out, .put = out };

    while (at < end) {
        uint32_t code = *at < 0x80 ? *at++ : th_utf8_next(&at, end);
        uint16_t bits = th_traits_of(w.table, code);
        bool     apart = bits & TH_BERT_CHINESE && cleaner->handle_chinese_chars;

        if (bits & (TH_BERT_DROPPED | TH_BERT_SPACE)) {
            if (bits & TH_BERT_DROPPED && cleaner->clean_text)
                continue;
            if (bits & TH_BERT_SPACE) {
                w.space = true;
                continue;
            }
        }
        if (cleaner->strip_accents && bits & (TH_DECOMPOSES | TH_BERT_MARK | TH_COMBINES)) {
            if (bits & TH_BERT_MARK)
                continue;
            if (!decomposed && bits & TH_COMBINES)
                return SIZE_MAX;
            if (!decomposed && bits & TH_DECOMPOSES && code != YOUNGEST_COMPOSED) {
                if (!put_stripped(&w, code, apart))
                    return SIZE_MAX;
                continue;
            }
        }
        put_lower(&w, code, apart);
    }
    return (size_t)(w.put - out);
}
