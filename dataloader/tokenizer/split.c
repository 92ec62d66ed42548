#include "dataloader/tokenizer/split.h"

#include "dataloader/tokenizer/unicode.h"
#include <string.h>

static bool starts_with(const char *at, const char *end, const char *literal, size_t size)
{
    return (size_t)(end - at) >= size && memcmp(at, literal, size) == 0;
}

// 's 't 're 've 'm 'll 'd: bytes of the contraction at `at`, which holds an apostrophe; 0 for none.
static size_t contraction(const char *at, const char *end)
{
    if (end - at < 2)
        return 0;
    switch (at[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return 2;
    case 'r':
    case 'v':
        return end - at > 2 && at[2] == 'e' ? 3 : 0;
    case 'l':
        return end - at > 2 && at[2] == 'l' ? 3 : 0;
    default:
        return 0;
    }
}

static th_char_class class_at(const char *at, const char *end, const char **behind)
{
    const unsigned char *p = (const unsigned char *)at;
    th_char_class class = th_char_class_of(th_utf8_next(&p, (const unsigned char *)end));

    *behind = (const char *)p;
    return class;
}

bool th_word_next(const char **at, const char *end, th_word *word)
{
    static const char sot[] = "<|startoftext|>", eot[] = "<|endoftext|>";
    const char       *begin = *at, *behind;
    th_char_class class;

    while (begin < end && *begin == ' ')
        begin++;
    if (begin == end)
        return false;
    word->kind = TH_WORD_TEXT;
    if (*begin == '<' && starts_with(begin, end, sot, sizeof sot - 1)) {
        word->kind = TH_WORD_SOT;
        behind = begin + sizeof sot - 1;
    } else if (*begin == '<' && starts_with(begin, end, eot, sizeof eot - 1)) {
        word->kind = TH_WORD_EOT;
        behind = begin + sizeof eot - 1;
    } else if (*begin == '\'' && contraction(begin, end)) {
        behind = begin + contraction(begin, end);
    } else {
        class = class_at(begin, end, &behind);
        if (class != TH_CHAR_NUMBER)
            for (const char *next = behind; behind < end; behind = next)
                if (class_at(behind, end, &next) != class)
                    break;
    }
    word->text = begin;
    word->size = (size_t)(behind - begin);
    *at = behind;
    return true;
}
