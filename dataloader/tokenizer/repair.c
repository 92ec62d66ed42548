#include "dataloader/tokenizer/repair.h"

#include "dataloader/tokenizer/characters.h"
#include "dataloader/tokenizer/entity.h"
#include "dataloader/tokenizer/normalize.h"
#include "dataloader/tokenizer/unicode.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

// Each pass takes a layer of entities off that spell entities. What is deeper is meant to hurt.
#define MOST_PASSES 32
#define ESCAPE      0x1B
#define MOST_PARTS  3 // code points that one becomes: U+FB03

void th_repair_room_done(th_repair_room *room)
{
    for (int i = 0; i < 3; i++) {
        free(room->bytes[i].memory);
        free(room->codes[i].memory);
    }
    free(room->text);
    *room = (th_repair_room){ 0 };
}

static uint32_t straight(uint32_t code)
{
    if ((code >= 0x2018 && code <= 0x201B) || code == 0x2BC)
        return '\'';
    return code >= 0x201C && code <= 0x201F ? '"' : code;
}

uint32_t th_repair_simply(uint32_t code)
{
    if (code >= 0xFF01 && code <= 0xFF5E)
        return code == 0xFF06 ? 0 : code - 0xFEE0; // a wide "&" may begin an entity
    return straight(code) != code ? straight(code) : 0;
}

static uint32_t of_windows_1252(uint32_t code)
{
    static const uint16_t high[32] = { 0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020,
                                       0x2021, 0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,
                                       0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D,
                                       0x2022, 0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A,
                                       0x153,  0x9D,   0x17E,  0x178 };

    return code >= 0x80 && code <= 0x9F ? high[code - 0x80] : code;
}

// The letters of a ligature or digraph; 0 for other characters.
static int ligature(uint32_t code, uint32_t out[MOST_PARTS])
{
    static const struct {
        uint16_t code, parts[MOST_PARTS];
    } ligatures[] = {
        { 0x132, { 'I', 'J' } },       { 0x133, { 'i', 'j' } },       { 0x149, { 0x2BC, 'n' } },
        { 0x1C4, { 'D', 0x17D } },     { 0x1C5, { 'D', 0x17E } },     { 0x1C6, { 'd', 0x17E } },
        { 0x1C7, { 'L', 'J' } },       { 0x1C8, { 'L', 'j' } },       { 0x1C9, { 'l', 'j' } },
        { 0x1CA, { 'N', 'J' } },       { 0x1CB, { 'N', 'j' } },       { 0x1CC, { 'n', 'j' } },
        { 0x1F1, { 'D', 'Z' } },       { 0x1F2, { 'D', 'z' } },       { 0x1F3, { 'd', 'z' } },
        { 0xFB00, { 'f', 'f' } },      { 0xFB01, { 'f', 'i' } },      { 0xFB02, { 'f', 'l' } },
        { 0xFB03, { 'f', 'f', 'i' } }, { 0xFB04, { 'f', 'f', 'l' } }, { 0xFB05, { 0x17F, 't' } },
        { 0xFB06, { 's', 't' } },
    };
    int count = 0;

    for (size_t i = 0; i < sizeof ligatures / sizeof *ligatures; i++)
        if (ligatures[i].code == code)
            for (; count < MOST_PARTS && ligatures[i].parts[count]; count++)
                out[count] = ligatures[i].parts[count];
    return count;
}

// Wide and narrow forms are their compatibility characters.
static int standard_width(uint32_t code, uint32_t out[MOST_PARTS])
{
    utf8proc_int32_t parts[8];
    int              unused = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8,
                                                     UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &unused);

    for (utf8proc_ssize_t i = 0; i < count && i < MOST_PARTS; i++)
        out[i] = (uint32_t)parts[i];
    return (int)count;
}

// What one character becomes in a pass, before controls are dropped.
static int replace(uint32_t code, uint32_t out[MOST_PARTS])
{
    int count;

    code = of_windows_1252(code);
    count = ligature(code, out);
    if (count == 0 && code >= 0xFF01 && code <= 0xFFEF)
        count = standard_width(code, out);
    if (count == 0)
        out[count++] = code;
    for (int i = 0; i < count; i++)
        out[i] = straight(out[i]);
    return count;
}

static bool is_dropped(uint32_t code)
{
    return code < 0x09 || code == 0x0B || (code >= 0x0E && code < 0x20) || code == 0x7F ||
           (code >= 0x206A && code <= 0x206F) || code == 0xFEFF ||
           (code >= 0xFFF9 && code <= 0xFFFC);
}

// Code points of a terminal escape at codes[0], ESC [ digits and semicolons, a letter; 0: none.
static size_t terminal_escape(const uint32_t *codes, size_t count)
{
    size_t at = 2;

    if (count < 3 || codes[0] != ESCAPE || codes[1] != '[')
        return 0;
    while (at < count && (codes[at] == ';' ||
                          utf8proc_category((utf8proc_int32_t)codes[at]) == UTF8PROC_CATEGORY_ND))
        at++;
    return at < count && (codes[at] | 0x20) >= 'a' && (codes[at] | 0x20) <= 'z' ? at + 1 : 0;
}

static size_t drop(uint32_t *codes, size_t count)
{
    size_t to = 0;

    for (size_t i = 0; i < count;) {
        size_t escape = terminal_escape(codes + i, count - i);

        if (escape > 0)
            i += escape;
        else if (is_dropped(codes[i]))
            i++;
        else
            codes[to++] = codes[i++];
    }
    return to;
}

// All but the entities, once. The result is in room->bytes[1]; NULL when memory is out.
static char *repair_codes(const char *text, size_t size, th_repair_room *room, size_t *out_size)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    uint32_t *codes = th_scratch_take(&room->codes[0], (size + MOST_PARTS) * sizeof *codes), *work,
             *normal;
    size_t count = 0, used = 0;
    char  *out;

    if (!codes)
        return NULL;
    while (at < end) // a character is never replaced by more code points than it has bytes
        count += (size_t)replace(th_utf8_next(&at, end), codes + count);
    count = drop(codes, count);
    work = th_scratch_take(&room->codes[1], TH_NORMAL_ROOM(count) * sizeof *work);
    normal = th_scratch_take(&room->codes[2], TH_NORMAL_ROOM(count) * sizeof *normal);
    if (!work || !normal)
        return NULL;
    count = th_normalize_nfc(codes, count, work, normal);
    out = th_scratch_take(&room->bytes[1], 4 * count);
    for (size_t i = 0; out && i < count; i++)
        used += th_utf8_put(normal[i], out + used);
    *out_size = used;
    return out;
}

static bool append(th_repair_room *room, const char *text, size_t size)
{
    char *grown = th_grow(room->text, &room->room, room->used + size, 1);

    if (!grown)
        return false;
    room->text = grown;
    memcpy(room->text + room->used, text, size);
    room->used += size;
    return true;
}

static bool repair_part(const char *text, size_t size, bool with_entities, th_repair_room *room)
{
    for (int pass = 0; pass < MOST_PASSES; pass++) {
        const char *from = text;
        size_t      from_size = size, next_size;
        char       *next;

        if (with_entities && memchr(text, '&', size)) {
            char *plain = th_scratch_take(&room->bytes[0], TH_UNESCAPED_ROOM(size));

            if (!plain)
                return false;
            from_size = th_entities_unescape_sure(text, size, plain);
            from = plain;
        }
        next = repair_codes(from, from_size, room, &next_size);
        if (!next)
            return false;
        if (next_size == size && memcmp(next, text, size) == 0)
            break;
        // What this pass wrote is what the next one reads.
        th_scratch spare = room->bytes[2];
        room->bytes[2] = room->bytes[1];
        room->bytes[1] = spare;
        text = next;
        size = next_size;
    }
    return append(room, text, size);
}

bool th_text_repair(const char *text, size_t size, th_repair_room *room)
{
    const char *tag = memchr(text, '<', size);
    size_t      head = tag ? (size_t)(tag - text) : size; // then back to the start of its line

    while (tag && head > 0 && text[head - 1] != '\n')
        head--;
    room->used = 0;
    return repair_part(text, head, true, room) &&
           repair_part(text + head, size - head, false, room);
}
