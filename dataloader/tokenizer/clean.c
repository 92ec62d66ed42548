#include "dataloader/tokenizer/clean.h"

#include "dataloader/tokenizer/characters.h"
#include "dataloader/tokenizer/entity.h"
#include "dataloader/tokenizer/normalize.h"
#include "dataloader/tokenizer/unicode.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define CLIP_ROOM(size) (3 * (size) + 8) // a stray byte becomes U+FFFD: three bytes
#define NEEDS_MORE      SIZE_MAX

void th_clean_room_done(th_clean_room *room)
{
    free(room->text.memory);
    free(room->plain.memory);
    for (int i = 0; i < 3; i++)
        free(room->codes[i].memory);
    th_repair_room_done(&room->repair);
    *room = (th_clean_room){ 0 };
}

// --- the capital sigma ---

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

// The character that ends before `at`, which moves to its begin; begin < at. What stands there is
// valid UTF-8, or a caption as it was given: then a stray byte is U+FFFD.
static uint32_t before(const unsigned char *begin, const unsigned char **at)
{
    const unsigned char *end = *at, *p = end - 1, *next;
    uint32_t             code;

    while (p > begin && end - p < 4 && (*p & 0xC0) == 0x80)
        p--;
    next = p;
    code = th_utf8_next(&next, end);
    if (next != end) { // more bytes than the lead takes: the last is a stray one
        p = end - 1;
        code = TH_REPLACEMENT;
    }
    *at = p;
    return code;
}

// A capital sigma ends a word when a cased character stands before it and none behind, both seen
// past what is case-ignorable (Unicode 15, table 3-17, Final_Sigma). Between two sigmas each
// character is looked at twice at most, for a sigma is cased itself: this stays linear.
static bool sigma_is_final(const char *written, const char *written_end,
                           const unsigned char *behind, const unsigned char *end)
{
    const unsigned char *begin = (const unsigned char *)written;
    bool                 cased = false;

    for (const unsigned char *at = (const unsigned char *)written_end; at > begin && !cased;) {
        uint32_t code = before(begin, &at);

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

// --- both of CLIP's ---

// Whether NFC leaves a character, which stands at `at` and has some of the bits, as it is.
static bool stands_in_nfc(uint32_t code, uint16_t bits, const unsigned char *begin,
                          const unsigned char *at)
{
    utf8proc_propval_t class, last = 0;
    uint32_t left;

    if (bits & TH_NFC_NEVER)
        return false;
    if (at == begin)
        return true;
    left = before(begin, &at);
    if (th_repair_simply(left))
        left = th_repair_simply(left);
    class = utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
    last = utf8proc_get_property((utf8proc_int32_t)left)->combining_class;
    if (bits & TH_NFC_MAYBE && (last != 0 || th_normalize_joins(left, code)))
        return false; // behind other marks it may join a starter further left
    return class == 0 || last <= class;
}

// Lower case, one space for each run of white space, none at the ends. Unless the text is `ready`,
// it ends with NEEDS_MORE at the first character that must be repaired or brought to NFC.
static size_t lower_and_collapse(th_cleanup kind, bool ready, const unsigned char *at, size_t size,
                                 char *out)
{
    const uint16_t      *table = th_traits_table();
    const unsigned char *begin = at, *end = at + size;
    const uint16_t       looked_at = ready ? 0
                                           : TH_NFC_NEVER | TH_NFC_MAYBE | TH_COMBINES |
                                           (kind == TH_CLEANUP_OPEN_CLIP ? TH_REPAIRED : 0);
    char                *put = out;
    bool                 space = false;

    while (at < end) {
        const unsigned char *here = at;
        uint32_t             code = *at < 0x80 ? *at++ : th_utf8_next(&at, end);
        uint16_t             bits = th_traits_of(table, code);

        if (bits & looked_at) {
            if (bits & looked_at & TH_REPAIRED) {
                code = th_repair_simply(code);
                if (!code)
                    return NEEDS_MORE;
                bits = table[code]; // ASCII
            } else if (!stands_in_nfc(code, bits, begin, here)) {
                return NEEDS_MORE;
            }
        }
        if ((bits & TH_CLASS_BITS) == TH_CHAR_SPACE) {
            space = put > out;
            continue;
        }
        if (space)
            *put++ = ' ';
        if (!(bits & TH_HAS_LOWER)) {
            if (code < 0x80)
                *put++ = (char)code;
            else
                put += th_utf8_put(code, put);
        } else if (code < 0x80) {
            *put++ = (char)(code | 0x20);
        } else if (code == 0x3A3 && kind == TH_CLEANUP_OPEN_CLIP) { // capital sigma
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

// Repaired and unescaped: *text and *size are replaced. False when memory is out.
static bool prepare_open_clip(const char **text, size_t *size, th_clean_room *room)
{
    size_t once = TH_UNESCAPED_ROOM(*size);
    char  *plain;

    if (!th_text_repair(*text, *size, &room->repair))
        return false;
    *text = room->repair.text;
    *size = room->repair.used;
    if (*size == 0 || !memchr(*text, '&', *size))
        return true;
    once = TH_UNESCAPED_ROOM(*size);
    plain = th_scratch_take(&room->plain, once + TH_UNESCAPED_ROOM(once));
    if (!plain)
        return false;
    *size = th_entities_unescape(*text, *size, plain);
    *size = th_entities_unescape(plain, *size, plain + once);
    *text = plain + once;
    return true;
}

// --- by way of code points ---

// *text and *size are replaced by their NFC, or NFD with ideographs apart and controls dropped for
// BERT. False when memory is out.
static bool normalize(const th_cleaner *cleaner, const char **text, size_t *size,
                      th_clean_room *room)
{
    const unsigned char *at = (const unsigned char *)*text, *end = at + *size;
    const uint16_t      *table = th_traits_table();
    bool                 bert = cleaner->kind == TH_CLEANUP_BERT;
    size_t               count = 0, used = 0;
    uint32_t *codes = th_scratch_take(&room->codes[0], (*size * 3) * sizeof *codes), *work, *normal;
    char     *out;

    if (!codes)
        return false;
    while (at < end) {
        uint32_t code = th_utf8_next(&at, end);
        uint16_t bits = th_traits_of(table, code);

        if (bert && cleaner->clean_text && bits & TH_BERT_DROPPED)
            continue;
        bool apart = bert && cleaner->handle_chinese_chars && bits & TH_BERT_CHINESE;
        if (apart)
            codes[count++] = ' ';
        codes[count++] = code;
        if (apart)
            codes[count++] = ' ';
    }
    work = th_scratch_take(&room->codes[1], TH_NORMAL_ROOM(count) * sizeof *work);
    normal = th_scratch_take(&room->codes[2], TH_NORMAL_ROOM(count) * sizeof *normal);
    if (!work || !normal)
        return false;
    count = bert ? th_normalize_nfd(codes, count, work, normal)
                 : th_normalize_nfc(codes, count, work, normal);
    out = th_scratch_take(&room->plain, 4 * count);
    if (!out)
        return false;
    for (size_t i = 0; i < count; i++)
        used += th_utf8_put(normal[i], out + used);
    *text = out;
    *size = used;
    return true;
}

static size_t clean(const th_cleaner *cleaner, bool ready, const char *text, size_t size, char *out)
{
    const unsigned char *bytes = (const unsigned char *)text;

    return cleaner->kind == TH_CLEANUP_BERT
               ? th_clean_bert(cleaner, ready, bytes, size, out)
               : lower_and_collapse(cleaner->kind, ready, bytes, size, out);
}

const char *th_text_clean(const th_cleaner *cleaner, const char *text, size_t size,
                          th_clean_room *room, size_t *out_size)
{
    bool   open_clip = cleaner->kind == TH_CLEANUP_OPEN_CLIP;
    char  *out = th_scratch_take(&room->text, CLIP_ROOM(size));
    size_t used = NEEDS_MORE;

    if (!out)
        return NULL;
    if (size == 0 || !open_clip || !memchr(text, '&', size))
        used = clean(cleaner, false, text, size, out);
    if (used == NEEDS_MORE) {
        if (open_clip ? !prepare_open_clip(&text, &size, room)
                      : !normalize(cleaner, &text, &size, room))
            return NULL;
        out = th_scratch_take(&room->text, CLIP_ROOM(size));
        if (!out)
            return NULL;
        used = clean(cleaner, true, text, size, out);
    }
    *out_size = used;
    return out;
}
