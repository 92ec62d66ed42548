#include "dataloader/tokenizer/characters.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <utf8proc.h>

typedef struct {
    uint32_t first, last;
} range;

static bool is_in(const range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}
#define IS_IN(ranges, code) is_in(ranges, sizeof(ranges) / sizeof *(ranges), code)

static bool is_white_space(uint32_t code, int category)
{
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP || code == 0x85 || (code >= '\t' && code <= '\r');
}

static uint16_t class_of(uint32_t code, int category)
{
    switch (category) {
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
    default:
        return is_white_space(code, category) ? TH_CHAR_SPACE : TH_CHAR_OTHER;
    }
}

// --- what th_text_repair() looks at ---

static bool is_repaired(uint32_t code)
{
    static const range repaired[] = {
        { 0x00, 0x08 },     { 0x0B, 0x0B },     { 0x0E, 0x1F },     { 0x7F, 0x9F }, // controls
        { 0x132, 0x133 },   { 0x149, 0x149 },                                       // ligatures
        { 0x1C4, 0x1CC },   { 0x1F1, 0x1F3 },                                       // digraphs
        { 0x2BC, 0x2BC },   { 0x2018, 0x201F },                                     // quotes
        { 0x206A, 0x206F },                                         // deprecated formats
        { 0xFB00, 0xFB06 },                                         // ligatures
        { 0xFEFF, 0xFEFF }, { 0xFF01, 0xFFEF }, { 0xFFF9, 0xFFFC }, // widths, annotations
    };

    return IS_IN(repaired, code);
}

// --- normal forms ---

// Composes with what stands before: Hangul vowels and finals, and the last characters of canonical
// decompositions (marked by fill_table).
static bool is_hangul_tail(uint32_t code)
{
    return (code >= 0x1161 && code <= 0x1175) || (code >= 0x11A8 && code <= 0x11C2);
}

static uint16_t normal_forms_of(uint32_t code, const utf8proc_property_t *property)
{
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t count;
    int              unused = UTF8PROC_BOUNDCLASS_START;
    uint16_t         bits = property->combining_class ? TH_COMBINES : 0;

    if (is_hangul_tail(code))
        bits |= TH_NFC_MAYBE;
    if (code >= 0xAC00 && code <= 0xD7A3)
        return bits | TH_DECOMPOSES;
    if (property->decomp_seqindex == UINT16_MAX || property->decomp_type != 0)
        return bits;
    count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8, UTF8PROC_DECOMPOSE, &unused);
    bits |= TH_DECOMPOSES;
    count = utf8proc_normalize_utf32(parts, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (count != 1 || parts[0] != (utf8proc_int32_t)code)
        bits |= TH_NFC_NEVER;
    return bits;
}

// --- BERT's, as Hugging Face's tables of Unicode 8 have them ---

// Cf since Unicode 9.
static const range young_formats[] = {
    { 0x890, 0x891 }, { 0x8E2, 0x8E2 }, { 0x110CD, 0x110CD }, { 0x13430, 0x1343F }
};

// Mn since Unicode 9.
static const range young_marks[] = {
    { 0x7FD, 0x7FD },     { 0x898, 0x89F },     { 0x8CA, 0x8E1 },     { 0x9FE, 0x9FE },
    { 0xAFA, 0xAFF },     { 0xB55, 0xB55 },     { 0xC04, 0xC04 },     { 0xC3C, 0xC3C },
    { 0xD00, 0xD00 },     { 0xD3B, 0xD3C },     { 0xD81, 0xD81 },     { 0xEBA, 0xEBA },
    { 0xECE, 0xECE },     { 0x180F, 0x180F },   { 0x1885, 0x1886 },   { 0x1ABF, 0x1ACE },
    { 0x1DF6, 0x1DFB },   { 0xA82C, 0xA82C },   { 0xA8C5, 0xA8C5 },   { 0xA8FF, 0xA8FF },
    { 0xA9BD, 0xA9BD },   { 0x10D24, 0x10D27 }, { 0x10EAB, 0x10EAC }, { 0x10EFD, 0x10EFF },
    { 0x10F46, 0x10F50 }, { 0x10F82, 0x10F85 }, { 0x11070, 0x11070 }, { 0x11073, 0x11074 },
    { 0x110C2, 0x110C2 }, { 0x111C9, 0x111C9 }, { 0x111CF, 0x111CF }, { 0x1123E, 0x1123E },
    { 0x11241, 0x11241 }, { 0x1133B, 0x1133B }, { 0x11438, 0x1143F }, { 0x11442, 0x11444 },
    { 0x11446, 0x11446 }, { 0x1145E, 0x1145E }, { 0x1182F, 0x11837 }, { 0x11839, 0x1183A },
    { 0x1193B, 0x1193C }, { 0x1193E, 0x1193E }, { 0x11943, 0x11943 }, { 0x119D4, 0x119D7 },
    { 0x119DA, 0x119DB }, { 0x119E0, 0x119E0 }, { 0x11A01, 0x11A0A }, { 0x11A33, 0x11A38 },
    { 0x11A3B, 0x11A3E }, { 0x11A47, 0x11A47 }, { 0x11A51, 0x11A56 }, { 0x11A59, 0x11A5B },
    { 0x11A8A, 0x11A96 }, { 0x11A98, 0x11A99 }, { 0x11C30, 0x11C36 }, { 0x11C38, 0x11C3D },
    { 0x11C3F, 0x11C3F }, { 0x11C92, 0x11CA7 }, { 0x11CAA, 0x11CB0 }, { 0x11CB2, 0x11CB3 },
    { 0x11CB5, 0x11CB6 }, { 0x11D31, 0x11D36 }, { 0x11D3A, 0x11D3A }, { 0x11D3C, 0x11D3D },
    { 0x11D3F, 0x11D45 }, { 0x11D47, 0x11D47 }, { 0x11D90, 0x11D91 }, { 0x11D95, 0x11D95 },
    { 0x11D97, 0x11D97 }, { 0x11EF3, 0x11EF4 }, { 0x11F00, 0x11F01 }, { 0x11F36, 0x11F3A },
    { 0x11F40, 0x11F40 }, { 0x11F42, 0x11F42 }, { 0x13440, 0x13440 }, { 0x13447, 0x13455 },
    { 0x16F4F, 0x16F4F }, { 0x16FE4, 0x16FE4 }, { 0x1CF00, 0x1CF2D }, { 0x1CF30, 0x1CF46 },
    { 0x1E000, 0x1E006 }, { 0x1E008, 0x1E018 }, { 0x1E01B, 0x1E021 }, { 0x1E023, 0x1E024 },
    { 0x1E026, 0x1E02A }, { 0x1E08F, 0x1E08F }, { 0x1E130, 0x1E136 }, { 0x1E2AE, 0x1E2AE },
    { 0x1E2EC, 0x1E2EF }, { 0x1E4EC, 0x1E4EF }, { 0x1E944, 0x1E94A }
};

// P since Unicode 9.
static const range young_punctuation[] = {
    { 0x61D, 0x61D },     { 0x9FD, 0x9FD },     { 0xA76, 0xA76 },     { 0xC77, 0xC77 },
    { 0xC84, 0xC84 },     { 0x1B7D, 0x1B7E },   { 0x2E43, 0x2E4F },   { 0x2E52, 0x2E5D },
    { 0x10EAD, 0x10EAD }, { 0x10F55, 0x10F59 }, { 0x10F86, 0x10F89 }, { 0x1144B, 0x1144F },
    { 0x1145A, 0x1145B }, { 0x1145D, 0x1145D }, { 0x11660, 0x1166C }, { 0x116B9, 0x116B9 },
    { 0x1183B, 0x1183B }, { 0x11944, 0x11946 }, { 0x119E2, 0x119E2 }, { 0x11A3F, 0x11A46 },
    { 0x11A9A, 0x11A9C }, { 0x11A9E, 0x11AA2 }, { 0x11B00, 0x11B09 }, { 0x11C41, 0x11C45 },
    { 0x11C70, 0x11C71 }, { 0x11EF7, 0x11EF8 }, { 0x11F43, 0x11F4F }, { 0x11FFF, 0x11FFF },
    { 0x12FF1, 0x12FF2 }, { 0x16E97, 0x16E9A }, { 0x16FE2, 0x16FE2 }, { 0x1E95E, 0x1E95F }
};

static bool is_chinese(uint32_t code)
{
    static const range chinese[] = {
        { 0x3400, 0x4DBF },   { 0x4E00, 0x9FFF },   { 0xF900, 0xFAFF },   { 0x20000, 0x2A6DF },
        { 0x2A700, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0x2F800, 0x2FA1F },
    };

    return IS_IN(chinese, code);
}

static bool is_bert_punctuation(uint32_t code, int category)
{
    if (code < 0x80)
        return code > ' ' && code != 0x7F && class_of(code, category) == TH_CHAR_OTHER;
    if (code == 0x166D || code == 0x111C9) // punctuation in Unicode 8
        return true;
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO &&
           !IS_IN(young_punctuation, code);
}

static bool is_bert_dropped(uint32_t code, int category)
{
    if (code == '\t' || code == '\n' || code == '\r')
        return false;
    if (category == UTF8PROC_CATEGORY_CF)
        return !IS_IN(young_formats, code);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CO || code == 0xFFFD;
}

static uint16_t bert_of(uint32_t code, int category)
{
    uint16_t bits = 0;

    if (is_bert_dropped(code, category))
        bits |= TH_BERT_DROPPED;
    if (is_white_space(code, category))
        bits |= TH_BERT_SPACE;
    if (is_bert_punctuation(code, category))
        bits |= TH_BERT_PUNCTUATION;
    if (is_chinese(code))
        bits |= TH_BERT_CHINESE;
    if ((category == UTF8PROC_CATEGORY_MN && !IS_IN(young_marks, code)) || code == 0x1734)
        bits |= TH_BERT_MARK; // U+1734 was one in Unicode 8
    return bits;
}

uint16_t th_traits_beyond(uint32_t code)
{
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)code);
    int                        category = property->category;
    uint16_t                   bits =
        class_of(code, category) | normal_forms_of(code, property) | bert_of(code, category);

    if (utf8proc_tolower((utf8proc_int32_t)code) != (utf8proc_int32_t)code)
        bits |= TH_HAS_LOWER;
    return is_repaired(code) ? bits | TH_REPAIRED : bits;
}

static uint16_t table[TH_TRAITS_TABLE];

static void fill_table(void)
{
    for (uint32_t code = 0; code < TH_TRAITS_TABLE; code++)
        table[code] |= th_traits_beyond(code);
    for (uint32_t code = 0; code < TH_TRAITS_TABLE; code++) {
        utf8proc_int32_t parts[8];
        int              unused = UTF8PROC_BOUNDCLASS_START;

        if ((table[code] & (TH_DECOMPOSES | TH_NFC_NEVER)) != TH_DECOMPOSES ||
            (code >= 0xAC00 && code <= 0xD7A3))
            continue;
        table[parts[utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8, UTF8PROC_DECOMPOSE,
                                            &unused) -
                    1]] |= TH_NFC_MAYBE;
    }
}

const uint16_t *th_traits_table(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, fill_table);
    return table;
}

th_char_class th_char_class_of(uint32_t code)
{
    return (th_char_class)(th_traits_of(th_traits_table(), code) & TH_CLASS_BITS);
}
