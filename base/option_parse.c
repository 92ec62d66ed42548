#include "base/option_parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char fix_span[] =
    "write an amount and a unit: 500 steps, 2 epochs, 1e6 samples, 90 s, 30 min, 12 h, 1 day; or "
    "never";
static const char fix_bytes[] = "write bytes: 4096, 500 MB, 8 GiB (kB MB GB TB, KiB MiB GiB TiB)";
static const char fix_pool[] = "shorten the run file";

static const char *skip_spaces(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

// Reads one decimal number and moves *at behind it. strtod alone would also take spaces, "inf",
// "nan" and hexadecimal, and would turn 1e999 into infinity and 1e-999 into zero.
static bool read_number(const char **at, double *out)
{
    const char *start = *at + (**at == '-' || **at == '+');
    char       *end;

    if (!isdigit((unsigned char)start[*start == '.']) ||
        (start[0] == '0' && (start[1] == 'x' || start[1] == 'X')))
        return false;
    errno = 0;
    double value = strtod(*at, &end);
    if (!isfinite(value) || (errno == ERANGE && value == 0))
        return false;
    *at = end;
    *out = value;
    return true;
}

static bool read_whole(const char **at, int64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)(*at)[**at == '-' || **at == '+']))
        return false;
    errno = 0;
    long long value = strtoll(*at, &end, 10);
    if (errno == ERANGE)
        return false;
    *at = end;
    *out = value;
    return true;
}

static bool parse_int(const char *text, int64_t *out)
{
    return read_whole(&text, out) && *skip_spaces(text) == '\0';
}

static bool parse_real(const char *text, double *out)
{
    return read_number(&text, out) && *skip_spaces(text) == '\0';
}

static bool parse_flag(const char *text, bool *out)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

    for (int i = 0; i < 6; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    }
    return false;
}

static bool parse_span(const char *text, th_span *out)
{
    static const struct {
        const char  *name;
        th_span_unit unit;
        double       scale;
    } units[] = {
        { "step", TH_STEPS, 1 },          { "steps", TH_STEPS, 1 },
        { "epoch", TH_EPOCHS, 1 },        { "epochs", TH_EPOCHS, 1 },
        { "sample", TH_SAMPLES, 1 },      { "samples", TH_SAMPLES, 1 },
        { "s", TH_SECONDS, 1 },           { "sec", TH_SECONDS, 1 },
        { "second", TH_SECONDS, 1 },      { "seconds", TH_SECONDS, 1 },
        { "min", TH_SECONDS, 60 },        { "minute", TH_SECONDS, 60 },
        { "minutes", TH_SECONDS, 60 },    { "h", TH_SECONDS, 3600 },
        { "hour", TH_SECONDS, 3600 },     { "hours", TH_SECONDS, 3600 },
        { "day", TH_SECONDS, 24 * 3600 }, { "days", TH_SECONDS, 24 * 3600 },
    };
    double amount;

    if (strcmp(text, "never") == 0) {
        *out = (th_span){ 0, TH_NEVER };
        return true;
    }
    if (!read_number(&text, &amount) || amount < 0)
        return false;
    text = skip_spaces(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        bool counted = units[i].unit == TH_STEPS || units[i].unit == TH_SAMPLES;
        if ((counted && amount != floor(amount)) || !isfinite(amount * units[i].scale))
            return false;
        *out = (th_span){ amount * units[i].scale, units[i].unit };
        return true;
    }
    return false;
}

static bool parse_bytes(const char *text, th_bytes *out)
{
    static const struct {
        const char *name;
        int64_t     scale;
    } units[] = {
        { "", 1 },
        { "B", 1 },
        { "kB", 1000 },
        { "MB", 1000000 },
        { "GB", 1000000000 },
        { "TB", 1000000000000 },
        { "KiB", INT64_C(1) << 10 },
        { "MiB", INT64_C(1) << 20 },
        { "GiB", INT64_C(1) << 30 },
        { "TiB", INT64_C(1) << 40 },
    };
    const char *unit = text, *after = text;
    int64_t     whole = 0;
    double      amount;

    if (!read_number(&unit, &amount) || amount < 0)
        return false;
    bool exact = read_whole(&after, &whole) && after == unit;
    unit = skip_spaces(unit);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (exact)
            return !__builtin_mul_overflow(whole, units[i].scale, &out->count);
        double count = amount * (double)units[i].scale; // 1.5 GiB; to the nearest byte
        if (units[i].scale == 1 || count >= 0x1p63)
            return false;
        out->count = (int64_t)llround(count);
        return true;
    }
    return false;
}

static bool parse_pair(const char *text, th_pair *out)
{
    bool    open = *text == '[';
    th_pair pair;

    text = skip_spaces(text + open);
    if (!read_number(&text, &pair.first))
        return false;
    text = skip_spaces(text);
    if (*text != ',')
        return false;
    text = skip_spaces(text + 1);
    if (!read_number(&text, &pair.second))
        return false;
    text = skip_spaces(text);
    if ((open && *text != ']') || *skip_spaces(text + open) != '\0')
        return false;
    *out = pair;
    return true;
}

static bool parse_amount(const char *text, double *out, bool *factor)
{
    if (!read_number(&text, out))
        return false;
    *factor = *text == 'x';
    return *skip_spaces(text + *factor) == '\0';
}

// Texts are printed into YAML, which holds nothing but UTF-8 (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
static bool is_utf8(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
        if ((*at >= 0x80 && *at < 0xc2) || *at > 0xf4 || (*at == 0xe0 && at[1] < 0xa0) ||
            (*at == 0xed && at[1] > 0x9f) || (*at == 0xf0 && at[1] < 0x90) ||
            (*at == 0xf4 && at[1] > 0x8f))
            return false;
        for (at++; more > 0; more--, at++)
            if ((*at & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    if (length == 0 || strchr(word, ' '))
        return false;
    for (const char *at = words; (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static th_code check_range(const th_option *row, const char *name, const char *text, double value,
                           th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK((row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max),
             TH_EUSAGE, "choose a value in the range",
             "option \"%s\": %.80s is out of range, %.10g to %.10g%s%s", name, text, row->min,
             row->max, row->unit ? " " : "", row->unit ? row->unit : "");
out:
    return rc;
}

static th_code parse_text(const th_option *row, const char *name, const char *text, th_arena *pool,
                          const char **out, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(is_utf8(text), TH_EUSAGE, "write it in UTF-8", "option \"%s\": the text is not UTF-8",
             name);
    TH_CHECK(!row->choices || has_word(row->choices, text), TH_EUSAGE, "choose one of them",
             "option \"%s\": \"%.80s\" is not one of: %s", name, text, row->choices);
    const char *copy = pool ? th_arena_text(pool, text) : text;
    TH_CHECK(copy, TH_EIO, fix_pool, "option \"%s\": no room for the text", name);
    *out = copy;
out:
    return rc;
}

// Puts key: amount into the map. The rows are copied each time and never changed in place, because
// a stage starts from a copy of the run's options that shares them.
static th_code parse_map(const th_option *row, const char *name, const char *text, th_arena *pool,
                         th_map *map, th_err *err)
{
    th_code           rc = TH_OK;
    const char       *key = name + strlen(row->name) - 1; // behind "prefix.", where the row has '*'
    struct th_map_row entry = { .key = key };
    int               place = 0;

    TH_CHECK(is_utf8(key), TH_EUSAGE, "write it in UTF-8", "option \"%s\": the key is not UTF-8",
             name);
    TH_CHECK(parse_amount(text, &entry.amount, &entry.factor), TH_EUSAGE,
             "write an amount such as 1e-5, or a factor such as 16x",
             "option \"%s\": \"%.80s\" is neither an amount nor a factor", name, text);
    if (!entry.factor)
        TH_TRY(check_range(row, name, text, entry.amount, err));
    if (!pool)
        return TH_OK;
    while (place < map->count && strcmp(map->rows[place].key, key) != 0)
        place++;
    int                count = place == map->count ? place + 1 : map->count;
    struct th_map_row *rows = th_arena_take(pool, (size_t)count, sizeof *rows);
    entry.key = th_arena_text(pool, key);
    TH_CHECK(rows && entry.key, TH_EIO, fix_pool, "option \"%s\": no room for the key", name);
    if (map->count > 0)
        memcpy(rows, map->rows, (size_t)map->count * sizeof *rows);
    rows[place] = entry;
    *map = (th_map){ rows, count };
out:
    return rc;
}

th_code th_option_parse(const th_option *row, const char *name, const char *text, th_arena *pool,
                        void *field, th_err *err)
{
    th_code rc = TH_OK;
    union {
        int64_t  whole;
        double   real;
        bool     flag;
        th_span  span;
        th_bytes bytes;
        th_pair  pair;
    } value;

#define EXPECT(condition, fix, kind)                                                               \
    TH_CHECK(condition, TH_EUSAGE, fix, "option \"%s\": \"%.80s\" is not " kind, name, text)

    switch (row->kind) {
    case TH_INT:
        EXPECT(parse_int(text, &value.whole), "write digits only, such as 1024", "a whole number");
        TH_TRY(check_range(row, name, text, (double)value.whole, err));
        *(int64_t *)field = value.whole;
        break;
    case TH_REAL:
        EXPECT(parse_real(text, &value.real), "write a number such as 0.2 or 5e-4", "a number");
        TH_TRY(check_range(row, name, text, value.real, err));
        *(double *)field = value.real;
        break;
    case TH_FLAG:
        EXPECT(parse_flag(text, &value.flag), "write true or false", "true or false");
        *(bool *)field = value.flag;
        break;
    case TH_TEXT:
        TH_TRY(parse_text(row, name, text, pool, field, err));
        break;
    case TH_SPAN:
        EXPECT(parse_span(text, &value.span), fix_span, "a span");
        if (value.span.unit != TH_NEVER)
            TH_TRY(check_range(row, name, text, value.span.amount, err));
        *(th_span *)field = value.span;
        break;
    case TH_BYTES:
        EXPECT(parse_bytes(text, &value.bytes), fix_bytes, "a number of bytes");
        TH_TRY(check_range(row, name, text, (double)value.bytes.count, err));
        *(th_bytes *)field = value.bytes;
        break;
    case TH_PAIR:
        EXPECT(parse_pair(text, &value.pair), "write a pair such as [0.9, 0.98]",
               "a pair of numbers");
        TH_TRY(check_range(row, name, text, value.pair.first, err));
        TH_TRY(check_range(row, name, text, value.pair.second, err));
        *(th_pair *)field = value.pair;
        break;
    case TH_MAP:
        TH_TRY(parse_map(row, name, text, pool, field, err));
        break;
    }
#undef EXPECT
out:
    return rc;
}
