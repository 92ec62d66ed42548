#include "base/option.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 32 // holds every number: 24 characters for a real, 20 for an integer
#define VALUE_BYTES  80 // holds every value but texts and maps: the longest is a pair

// The shortest decimal form that reads back to the same bits; 17 digits always do. Whole numbers
// are written out, because %.1g would make 3e+01 of 30.
static void print_real(double value, char *out, size_t size)
{
    if (fabs(value) >= 1 && fabs(value) < 1e15 && value == floor(value)) {
        (void)snprintf(out, size, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

static void print_span(th_span span, char *out, size_t size)
{
    static const char *const units[] = { "never", "step", "epoch", "sample", "s" };
    const char              *unit = units[span.unit];
    char                     number[NUMBER_BYTES];

    if (span.unit == TH_NEVER) {
        (void)snprintf(out, size, "never");
        return;
    }
    // Whole minutes and hours are written as such; dividing and multiplying them is exact.
    if (span.unit == TH_SECONDS && span.amount > 0 && span.amount < 0x1p53 &&
        fmod(span.amount, 60) == 0) {
        bool hours = fmod(span.amount, 3600) == 0;
        span.amount /= hours ? 3600 : 60;
        unit = hours ? "h" : "min";
    }
    print_real(span.amount, number, sizeof number);
    (void)snprintf(out, size, "%s %s%s", number, unit,
                   span.unit == TH_SECONDS || span.amount == 1 ? "" : "s");
}

// In the unit that gives the smallest whole number: 8 GiB, 500 MB, 1001 B.
static void print_bytes(th_bytes bytes, char *out, size_t size)
{
    static const struct {
        const char *name;
        int64_t     scale;
    } units[] = {
        { "kB", 1000 },
        { "MB", 1000000 },
        { "GB", 1000000000 },
        { "TB", 1000000000000 },
        { "KiB", INT64_C(1) << 10 },
        { "MiB", INT64_C(1) << 20 },
        { "GiB", INT64_C(1) << 30 },
        { "TiB", INT64_C(1) << 40 },
    };
    const char *name = "B";
    int64_t     scale = 1;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (bytes.count > 0 && bytes.count % units[i].scale == 0 && units[i].scale > scale) {
            name = units[i].name;
            scale = units[i].scale;
        }
    }
    (void)snprintf(out, size, "%" PRId64 " %s", bytes.count / scale, name);
}

static void print_amount(const struct th_map_row *row, char *out, size_t size)
{
    char number[NUMBER_BYTES];

    print_real(row->amount, number, sizeof number);
    (void)snprintf(out, size, "%s%s", number, row->factor ? "x" : "");
}

static void print_map(const th_map *map, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "{");
    char   amount[VALUE_BYTES];

    for (int i = 0; i < map->count && used < size; i++) {
        print_amount(&map->rows[i], amount, sizeof amount);
        used += (size_t)snprintf(out + used, size - used, "%s%s: %s", i > 0 ? ", " : "",
                                 map->rows[i].key, amount);
    }
    if (used < size)
        (void)snprintf(out + used, size - used, "}");
}

void th_option_print(const th_option *row, const void *values, char *out, size_t size)
{
    const void *field = (const char *)values + row->offset;
    char        first[NUMBER_BYTES], second[NUMBER_BYTES];

    switch (row->kind) {
    case TH_INT:
        (void)snprintf(out, size, "%" PRId64, *(const int64_t *)field);
        break;
    case TH_REAL:
        print_real(*(const double *)field, out, size);
        break;
    case TH_FLAG:
        (void)snprintf(out, size, "%s", *(const bool *)field ? "true" : "false");
        break;
    case TH_TEXT: {
        const char *text = *(const char *const *)field;
        (void)snprintf(out, size, "%s", text ? text : "");
        break;
    }
    case TH_SPAN:
        print_span(*(const th_span *)field, out, size);
        break;
    case TH_BYTES:
        print_bytes(*(const th_bytes *)field, out, size);
        break;
    case TH_PAIR:
        print_real(((const th_pair *)field)->first, first, sizeof first);
        print_real(((const th_pair *)field)->second, second, sizeof second);
        (void)snprintf(out, size, "[%s, %s]", first, second);
        break;
    case TH_MAP:
        print_map(field, out, size);
        break;
    }
}

// Text that YAML reads as this very text without quotes: a word or a path that is not also a number
// or one of the words that YAML readers turn into true, false or nothing.
static bool is_plain(const char *text)
{
    static const char *const taken[] = {
        "true", "false", "yes", "no", "on", "off", "null", "y", "n"
    };

    if (!isalpha((unsigned char)text[0]) && text[0] != '/' && text[0] != '_')
        return false; // also whatever could be a number or a date
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")])
        return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcasecmp(text, taken[i]) == 0)
            return false;
    return true;
}

static void print_quoted(const char *text, FILE *to)
{
    if (is_plain(text)) {
        (void)fputs(text, to);
        return;
    }
    (void)fputc('"', to);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            (void)fprintf(to, "\\x%02x", *at);
        else if (*at == '"' || *at == '\\')
            (void)fprintf(to, "\\%c", *at);
        else
            (void)fputc(*at, to);
    }
    (void)fputc('"', to);
}

// Writes the "folder:" lines that lead to `name` and that `before` did not have, and returns how
// many spaces its last word is to be indented.
static int open_folders(const char *before, const char *name, FILE *to)
{
    size_t start = 0;
    int    depth = 0;

    for (size_t i = 0; name[i]; i++) {
        if (name[i] != '.')
            continue;
        if (strncmp(before, name, i + 1) != 0)
            (void)fprintf(to, "%*s%.*s:\n", 2 * depth, "", (int)(i - start), name + start);
        start = i + 1;
        depth++;
    }
    return 2 * depth;
}

static void print_row_yaml(const th_option *row, const void *values, int indent, FILE *to)
{
    const void *field = (const char *)values + row->offset;
    const char *dot = strrchr(row->name, '.');
    const char *word = dot ? dot + 1 : row->name;
    char        value[VALUE_BYTES];

    if (row->kind == TH_MAP) {
        const th_map *map = field;
        for (int i = 0; i < map->count; i++) {
            print_amount(&map->rows[i], value, sizeof value);
            (void)fprintf(to, "%*s", indent, "");
            print_quoted(map->rows[i].key, to);
            (void)fprintf(to, ": %s\n", value);
        }
        return;
    }
    (void)fprintf(to, "%*s%s: ", indent, "", word);
    if (row->kind == TH_TEXT) {
        print_quoted(*(const char *const *)field, to);
    } else {
        th_option_print(row, values, value, sizeof value);
        (void)fputs(value, to);
    }
    (void)fputc('\n', to);
}

void th_option_print_flow(const th_option *row, const void *values, FILE *to)
{
    const void *field = (const char *)values + row->offset;
    char        value[VALUE_BYTES];

    if (row->kind == TH_TEXT) {
        const char *text = *(const char *const *)field;
        print_quoted(text ? text : "", to);
    } else if (row->kind == TH_MAP) {
        const th_map *map = field;
        for (int i = 0; i < map->count; i++) {
            print_amount(&map->rows[i], value, sizeof value);
            (void)fputs(i > 0 ? ", " : "{", to);
            print_quoted(map->rows[i].key, to);
            (void)fprintf(to, ": %s", value);
        }
        (void)fputs(map->count > 0 ? "}" : "{}", to);
    } else {
        th_option_print(row, values, value, sizeof value);
        (void)fputs(value, to);
    }
}

// Nothing to write: a text that is not set, a map without keys.
static bool is_absent(const th_option *row, const void *values)
{
    const void *field = (const char *)values + row->offset;

    return (row->kind == TH_TEXT && !*(const char *const *)field) ||
           (row->kind == TH_MAP && ((const th_map *)field)->count == 0);
}

// The row that follows `after` (NULL: the first) in the order of names over all sets.
static const th_option *next_row(const th_option_set *sets, int set_count, const char *after,
                                 int *out_set)
{
    const th_option *next = NULL;

    for (int s = 0; s < set_count; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *row = &sets[s].rows[i];
            if ((after && strcmp(row->name, after) <= 0) ||
                (next && strcmp(row->name, next->name) >= 0))
                continue;
            next = row;
            *out_set = s;
        }
    }
    return next;
}

void th_options_print_yaml(const th_option_set *sets, int set_count, bool whole, FILE *to)
{
    const char      *written = "";
    const th_option *row = NULL;
    int              set = 0;

    while ((row = next_row(sets, set_count, row ? row->name : NULL, &set))) {
        if ((!whole && row->when == TH_PER_START) || is_absent(row, sets[set].values))
            continue;
        int indent = open_folders(written, row->name, to);
        print_row_yaml(row, sets[set].values, indent, to);
        written = row->name;
    }
}

// "unit, min to max" or "one of: choices", in brackets; nothing when a row has none of them.
static void print_limits(const th_option *row, FILE *to)
{
    bool range = row->min != 0 || row->max != 0;

    if (row->choices)
        (void)fprintf(to, " (one of: %s)", row->choices);
    else if (row->unit && range)
        (void)fprintf(to, " (%s, %.10g to %.10g)", row->unit, row->min, row->max);
    else if (range)
        (void)fprintf(to, " (%.10g to %.10g)", row->min, row->max);
    else if (row->unit)
        (void)fprintf(to, " (%s)", row->unit);
}

void th_options_print_help(const th_option_set *sets, int set_count, FILE *to)
{
    const th_option *row = NULL;
    int              set = 0, name_width = 0, value_width = 0;

    for (int s = 0; s < set_count; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *other = &sets[s].rows[i];
            int              name = (int)strlen(other->name);
            int              value = other->fallback ? (int)strlen(other->fallback) : 8;
            name_width = name > name_width ? name : name_width;
            value_width = value > value_width ? value : value_width;
        }
    }
    while ((row = next_row(sets, set_count, row ? row->name : NULL, &set))) {
        const char *value = row->fallback ? row->fallback : row->required ? "required" : "-";
        (void)fprintf(to, "  %-*s  %-*s  %s", name_width, row->name, value_width, value, row->help);
        print_limits(row, to);
        (void)fputc('\n', to);
    }
}
