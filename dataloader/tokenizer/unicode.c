#include "dataloader/tokenizer/unicode.h"

#include "dataloader/tokenizer/entity.h"
#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

static const uint8_t ascii_class[128] = {
    ['\t' ... '\r'] = TH_CHAR_SPACE, [0x1C ... 0x20] = TH_CHAR_SPACE,
    ['0' ... '9'] = TH_CHAR_NUMBER,  ['A' ... 'Z'] = TH_CHAR_LETTER,
    ['a' ... 'z'] = TH_CHAR_LETTER,
};

// Lead bytes: how many continuation bytes follow, and the range of the first of them. The narrow
// ranges keep out overlong forms, surrogates and what lies above U+10FFFF.
typedef struct {
    uint8_t more, low, high;
} lead;

static lead lead_of(unsigned char byte)
{
    if (byte >= 0xC2 && byte <= 0xDF)
        return (lead){ 1, 0x80, 0xBF };
    if (byte >= 0xE0 && byte <= 0xEF)
        return (lead){ 2, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF };
    if (byte >= 0xF0 && byte <= 0xF4)
        return (lead){ 3, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF };
    return (lead){ 0, 0, 0 };
}

uint32_t th_utf8_next(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *p = *at;
    unsigned char        first = *p++;
    lead                 l;
    uint32_t             code;

    *at = p;
    if (first < 0x80)
        return first;
    l = lead_of(first);
    if (l.more == 0)
        return TH_REPLACEMENT;
    code = first & (0x3Fu >> l.more);
    for (int i = 0; i < l.more; i++) {
        unsigned char low = i == 0 ? l.low : 0x80, high = i == 0 ? l.high : 0xBF;

        if (p == end || *p < low || *p > high) {
            *at = p;
            return TH_REPLACEMENT;
        }
        code = code << 6 | (*p++ & 0x3Fu);
    }
    *at = p;
    return code;
}

size_t th_utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

th_char_class th_char_class_of(uint32_t code)
{
    if (code < 0x80)
        return ascii_class[code];
    switch (utf8proc_get_property((utf8proc_int32_t)code)->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TH_CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TH_CHAR_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return TH_CHAR_SPACE;
    default:
        return code == 0x85 ? TH_CHAR_SPACE : TH_CHAR_OTHER;
    }
}

// Unicode's Case_Ignorable: marks, formats, modifiers, and the punctuation that may stand inside a
// word (Word_Break = MidLetter, MidNumLet or Single_Quote).
static bool is_case_ignorable(uint32_t code)
{
    static const uint16_t inside_word[] = { 0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,
                                            0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                            0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A };

    for (size_t i = 0; i < sizeof inside_word / sizeof *inside_word; i++)
        if (code == inside_word[i])
            return true;
    switch (utf8proc_get_property((utf8proc_int32_t)code)->category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

static bool is_cased(uint32_t code)
{
    utf8proc_int32_t c = (utf8proc_int32_t)code;

    switch (utf8proc_get_property(c)->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default: // Roman numerals and circled letters have the other case; the ordinals have none
        return utf8proc_tolower(c) != c || utf8proc_toupper(c) != c || code == 0xAA || code == 0xBA;
    }
}

// A capital sigma ends a word when a cased character stands before it and none behind, both seen
// past what is case-ignorable (Unicode 15, table 3-17, Final_Sigma). Between two sigmas each
// character is looked at twice at most, for a sigma is cased itself: this stays linear.
static bool sigma_is_final(const char *before_begin, const char *before_end,
                           const unsigned char *behind, const unsigned char *end)
{
    const unsigned char *written = (const unsigned char *)before_end;
    bool                 cased = false;

    while (before_end > before_begin && !cased) {
        const unsigned char *p;
        uint32_t             code;

        do
            before_end--;
        while (((unsigned char)*before_end & 0xC0) == 0x80); // what we wrote is valid UTF-8
        p = (const unsigned char *)before_end;
        code = th_utf8_next(&p, written);
        if (is_case_ignorable(code))
            continue;
        if (!is_cased(code))
            return false;
        cased = true;
    }
    if (!cased)
        return false;
    while (behind < end) {
        uint32_t code = th_utf8_next(&behind, end);

        if (!is_case_ignorable(code))
            return !is_cased(code);
    }
    return true;
}

// Lower case, one space for each run of white space, none at the ends.
static size_t lower_and_collapse(const unsigned char *at, const unsigned char *end, char *out)
{
    char *put = out;
    bool  space = false;

    while (at < end) {
        uint32_t code = *at;
        bool     is_space;

        if (code < 0x80) {
            at++;
            is_space = ascii_class[code] == TH_CHAR_SPACE;
            code += 32u * (code - 'A' < 26u);
        } else {
            code = th_utf8_next(&at, end);
            is_space = th_char_class_of(code) == TH_CHAR_SPACE;
        }
        if (is_space) {
            space = put > out;
            continue;
        }
        if (space)
            *put++ = ' ';
        if (code < 0x80) {
            *put++ = (char)code;
        } else if (code == 0x3A3) { // capital sigma
            bool final = !space && sigma_is_final(out, put, at, end);

            put += th_utf8_put(final ? 0x3C2 : 0x3C3, put);
        } else if (code == 0x130) { // capital I with a dot: an i, and a combining dot above
            *put++ = 'i';
            put += th_utf8_put(0x307, put);
        } else {
            put += th_utf8_put((uint32_t)utf8proc_tolower((utf8proc_int32_t)code), put);
        }
        space = false;
    }
    return (size_t)(put - out);
}

size_t th_text_clean(const char *text, size_t size, char *work, char *out)
{
    const unsigned char *begin = (const unsigned char *)text;

    if (size == 0)
        return 0;
    if (memchr(text, '&', size)) {
        memcpy(work, text, size);
        size = th_entities_unescape(work, size);
        size = th_entities_unescape(work, size);
        begin = (const unsigned char *)work;
    }
    return lower_and_collapse(begin, begin + size, out);
}
