#include "dataloader/tokenizer/split.h"

#include "dataloader/tokenizer/characters.h"
#include "dataloader/tokenizer/unicode.h"
#include <string.h>

#define YPOGEGRAMMENI 0x345 // its capital is a letter, so without regard to case it is in no class

// Whether a text begins with a letter, or with the long s for an s; *at moves behind it.
static bool take(const char **at, const char *end, char letter)
{
    if (*at < end && **at == letter) {
        ++*at;
        return true;
    }
    if (letter == 's' && end - *at >= 2 && memcmp(*at, "\xc5\xbf", 2) == 0) {
        *at += 2;
        return true;
    }
    return false;
}

// Bytes of a literal at `at`; 0 when it is not there.
static size_t literal(const char *at, const char *end, const char *letters, bool long_s)
{
    const char *begin = at;

    for (; *letters; letters++)
        if (!(long_s ? take(&at, end, *letters) : at < end && *at++ == *letters))
            return 0;
    return (size_t)(at - begin);
}

// 's 't 're 've 'm 'll 'd: bytes of the contraction at `at`; 0 for none.
static size_t contraction(const char *at, const char *end, bool long_s)
{
    static const char endings[][4] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    size_t            size = 0;

    for (size_t i = 0; i < sizeof endings / sizeof *endings && size == 0; i++)
        size = literal(at, end, endings[i], long_s);
    return size;
}

static uint32_t code_at(const char *at, const char *end, const char **behind)
{
    const unsigned char *p = (const unsigned char *)at;
    uint32_t             code = th_utf8_next(&p, (const unsigned char *)end);

    *behind = (const char *)p;
    return code;
}

// Behind what no word begins with.
static const char *skip(const th_splitter *s)
{
    const char *at = s->at;

    for (;; at += 2) {
        while (at < s->end && *at == ' ')
            at++;
        if (s->kind != TH_CLEANUP_OPEN_CLIP || s->end - at < 2 || memcmp(at, "\xcd\x85", 2) != 0)
            return at;
    }
}

// The end of a run of characters of one class, of which the first stands at `begin`.
static const char *run(const th_splitter *s, const char *begin)
{
    const uint16_t *table = th_traits_table();
    const char     *end = s->cut > begin ? s->cut : s->end, *behind, *next;
    uint16_t class = th_traits_of(table, code_at(begin, end, &behind)) & TH_CLASS_BITS;

    if (class == TH_CHAR_NUMBER)
        return behind;
    for (; behind < end; behind = next) {
        uint32_t code = code_at(behind, end, &next);

        if ((th_traits_of(table, code) & TH_CLASS_BITS) != class ||
            (code == YPOGEGRAMMENI && s->kind == TH_CLEANUP_OPEN_CLIP))
            break;
    }
    return behind;
}

// A literal of open_clip's is a token, unless a long s is in it: then it is a word like others.
// One of Hugging Face's ends the word that its last "|>" is.
static const char *special(th_splitter *s, const char *begin, th_word_kind *kind)
{
    static const char *const names[2][2] = { { "<start_of_text>", "<end_of_text>" },
                                             { "<|startoftext|>", "<|endoftext|>" } };
    bool                     open_clip = s->kind == TH_CLEANUP_OPEN_CLIP;

    for (int i = 0; i < 2; i++) {
        const char *name = names[!open_clip][i];
        size_t      size = literal(begin, s->end, name, open_clip);

        if (size == 0)
            continue;
        if (!open_clip) {
            s->cut = begin + size;
            return NULL;
        }
        if (size == strlen(name))
            *kind = i == 0 ? TH_WORD_START : TH_WORD_END;
        return begin + size;
    }
    return NULL;
}

static bool next_of_bert(th_splitter *s, th_word *out)
{
    const char *space;

    while (s->at < s->end && *s->at == ' ')
        s->at++;
    if (s->at == s->end)
        return false;
    space = memchr(s->at, ' ', (size_t)(s->end - s->at));
    out->text = s->at;
    s->at = space ? space : s->end;
    out->size = (size_t)(s->at - out->text);
    return true;
}

bool th_word_next(th_splitter *s, th_word *out)
{
    const char *begin, *behind = NULL;

    out->kind = TH_WORD_TEXT;
    if (s->kind == TH_CLEANUP_BERT)
        return next_of_bert(s, out);
    begin = skip(s);
    if (begin == s->end)
        return false;
    if (*begin == '<' && s->cut <= begin && (s->kind == TH_CLEANUP_OPEN_CLIP || s->cuts_specials))
        behind = special(s, begin, &out->kind);
    if (*begin == '\'') {
        size_t size = contraction(begin, s->end, s->kind == TH_CLEANUP_OPEN_CLIP);

        behind = size > 0 ? begin + size : NULL;
    }
    if (!behind)
        behind = run(s, begin);
    out->text = begin;
    out->size = (size_t)(behind - begin);
    s->at = behind;
    return true;
}
