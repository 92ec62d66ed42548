#include "dataloader/tokenizer/unicode.h"

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
