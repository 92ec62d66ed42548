#include "dataloader/tokenizer/entity.h"

#include "dataloader/tokenizer/unicode.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define NAMES_MOST 2200
#define NAME_MOST  31 // bytes of the longest name: "CounterClockwiseContourIntegral"
#define BARE_MOST  6  // bytes of the longest name that needs no semicolon: "Aacute"
#define SURE_MOST  24 // bytes of the longest that ftfy looks at

static struct entity {
    const char *name; // in th_entity_names
    uint32_t    codes[2];
    uint8_t     size, count; // of the name, of the codes
    bool        bare;
} entities[NAMES_MOST]; // sorted by name
static size_t entity_count;

static void read_names(void)
{
    const char *at = th_entity_names;

    for (; *at; at += *at == ' ') {
        struct entity *entity = &entities[entity_count++];
        const char    *equals = strchr(at, '=');

        entity->name = at;
        entity->size = (uint8_t)(equals - at);
        at = equals;
        do {
            char *behind;

            entity->codes[entity->count++] = (uint32_t)strtoul(at + 1, &behind, 16);
            at = behind;
        } while (*at == '+');
        entity->bare = *at == '!';
        at += entity->bare;
    }
}

static const struct entity *find(const char *name, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t                low = 0, high;

    (void)pthread_once(&once, read_names);
    high = entity_count;
    while (low < high) {
        size_t               middle = (low + high) / 2;
        const struct entity *entity = &entities[middle];
        size_t               shared = size < entity->size ? size : entity->size;
        int                  order = memcmp(name, entity->name, shared);

        if (order == 0 && size == entity->size)
            return entity;
        if (order > 0 || (order == 0 && size > entity->size))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// What Python makes of a number: code points, or TH_NOTHING.
#define TH_NOTHING UINT32_MAX
static uint32_t character_of(uint32_t number)
{
    static const uint16_t windows_1252[32] = {
        0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6,  0x2030, 0x160,
        0x2039, 0x152,  0x8D,   0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178
    };

    if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF)
        return TH_REPLACEMENT;
    if (number >= 0x80 && number <= 0x9F)
        return windows_1252[number - 0x80];
    if (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r')
        return TH_NOTHING;
    if (number == 0x7F || (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE)
        return TH_NOTHING;
    return number;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

// What an entity stands for.
typedef struct {
    uint32_t codes[3];
    int      count;
} meaning;

// The readers get the text behind the '&', return how many bytes of it they took (0: no entity) and
// set *out.
static size_t read_number(const char *text, size_t size, meaning *out)
{
    size_t   at = 1, first;
    uint32_t number = 0;
    int      base = 10;

    if (at < size && (text[at] == 'x' || text[at] == 'X')) {
        base = 16;
        at++;
    }
    first = at;
    for (; at < size && digit_of(text[at]) < base; at++)
        if (number <= 0x10FFFF) // larger ones are all alike
            number = number * (uint32_t)base + (uint32_t)digit_of(text[at]);
    if (at == first)
        return 0;
    out->codes[0] = character_of(number);
    out->count = out->codes[0] != TH_NOTHING;
    return at + (at < size && text[at] == ';');
}

static void tell(const struct entity *entity, meaning *out)
{
    memcpy(out->codes, entity->codes, sizeof entity->codes);
    out->count = entity->count;
}

// The longest name at the start of a text that may stand without a semicolon.
static const struct entity *find_bare(const char *text, size_t size)
{
    for (size_t length = size < BARE_MOST ? size : BARE_MOST; length >= 2; length--) {
        const struct entity *entity = find(text, length);

        if (entity && entity->bare)
            return entity;
    }
    return NULL;
}

static size_t read_name(const char *text, size_t size, meaning *out)
{
    const struct entity *entity;
    const char          *end = memchr(text, ';', size < NAME_MOST + 1 ? size : NAME_MOST + 1);

    if (end && end > text && (entity = find(text, (size_t)(end - text)))) {
        tell(entity, out);
        return (size_t)(end - text) + 1;
    }
    entity = find_bare(text, size);
    if (!entity)
        return 0;
    tell(entity, out);
    return entity->size;
}

static size_t put(const meaning *of, char *out)
{
    size_t used = 0;

    for (int i = 0; i < of->count; i++)
        used += th_utf8_put(of->codes[i], out + used);
    return used;
}

size_t th_entities_unescape(const char *text, size_t size, char *out)
{
    size_t from = 0, to = 0;

    while (from < size) {
        meaning found = { 0 };
        size_t  left = size - from - 1, taken = 0;

        if (text[from] == '&' && left > 0)
            taken = text[from + 1] == '#' ? read_number(text + from + 1, left, &found)
                                          : read_name(text + from + 1, left, &found);
        if (taken == 0) {
            out[to++] = text[from++];
            continue;
        }
        from += 1 + taken;
        to += put(&found, out + to);
    }
    return to;
}

// --- without doubt ---

// Python's str.upper() of a character that some entity stands for: a few become more than one.
static int put_upper(uint32_t code, uint32_t *out)
{
    static const struct {
        uint32_t code, upper[3];
    } grown[] = { { 0xDF, { 'S', 'S' } },       { 0x149, { 0x2BC, 'N' } },
                  { 0xFB00, { 'F', 'F' } },     { 0xFB01, { 'F', 'I' } },
                  { 0xFB02, { 'F', 'L' } },     { 0xFB03, { 'F', 'F', 'I' } },
                  { 0xFB04, { 'F', 'F', 'L' } } };
    int count = 0;

    for (size_t i = 0; i < sizeof grown / sizeof *grown; i++)
        if (code == grown[i].code)
            while (count < 3 && grown[i].upper[count]) {
                out[count] = grown[i].upper[count];
                count++;
            }
    if (count == 0)
        out[count++] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
    return count;
}

static bool find_capital(const char *text, size_t size, meaning *out)
{
    char                 lower[SURE_MOST];
    const struct entity *entity;

    if (find_bare(text, size)) // "&LTIMES;" starts with "&LT"
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 'a' && text[i] <= 'z')
            return false;
        lower[i] = (char)(text[i] >= 'A' ? text[i] | 0x20 : text[i]);
    }
    entity = find(lower, size);
    if (!entity)
        return false;
    out->count = 0;
    for (int i = 0; i < entity->count; i++)
        out->count += put_upper(entity->codes[i], out->codes + out->count);
    return true;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static size_t read_sure(const char *text, size_t size, meaning *out)
{
    size_t               hash = size > 0 && text[0] == '#', end = hash;
    const struct entity *entity;

    while (end < size && end - hash < SURE_MOST && is_alphanumeric(text[end]))
        end++;
    if (end == hash || end == size || text[end] != ';')
        return 0;
    if (hash) // all of it must be the number, and a semicolon is not unescaped
        return read_number(text, size, out) == end + 1 && out->codes[0] != ';' ? end + 1 : 0;
    entity = find(text, end);
    if (entity)
        tell(entity, out);
    return entity || find_capital(text, end, out) ? end + 1 : 0;
}

static bool is_ampersand(const meaning *of)
{
    return of->count == 1 && of->codes[0] == '&';
}

size_t th_entities_unescape_sure(const char *text, size_t size, char *out)
{
    size_t from = 0, to = 0;

    while (from < size) {
        meaning found = { 0 }, again;
        size_t  taken = text[from] == '&' ? read_sure(text + from + 1, size - from - 1, &found) : 0,
               more;

        if (taken == 0) {
            out[to++] = text[from++];
            continue;
        }
        from += 1 + taken;
        while (is_ampersand(&found) && (more = read_sure(text + from, size - from, &again)) > 0 &&
               is_ampersand(&again))
            from += more;
        to += put(&found, out + to);
    }
    return to;
}
