#include "base/option.h"
#include "base/option_parse.h"

#include <string.h>

#define NAME_LIMIT 64 // of the names that "did you mean" compares

static bool is_map(const th_option *row)
{
    return row->kind == TH_MAP;
}

// "lr.*" takes "lr.text.embed": a name that begins with "lr." and goes on.
static bool map_takes(const th_option *row, const char *name)
{
    size_t prefix = strlen(row->name) - 1;

    return is_map(row) && strncmp(row->name, name, prefix) == 0 && name[prefix] != '\0';
}

// An exact name is at least as long as any map row that takes it, so "longer wins" serves both.
const th_option *th_option_find(const th_option_set *sets, int set_count, const char *name,
                                int *out_set)
{
    const th_option *found = NULL;

    for (int s = 0; s < set_count; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *row = &sets[s].rows[i];
            bool             exact = !is_map(row) && strcmp(row->name, name) == 0;
            bool             longer = !found || strlen(row->name) > strlen(found->name);
            if (!exact && !(map_takes(row, name) && longer))
                continue;
            found = row;
            if (out_set)
                *out_set = s;
        }
    }
    return found;
}

static int smallest(int a, int b, int c)
{
    int least = a < b ? a : b;

    return least < c ? least : c;
}

// Edit distance with swaps of neighbours ("optimal string alignment"), by the usual three rows.
static int edit_distance(const char *a, const char *b)
{
    int  rows[3][NAME_LIMIT + 1];
    int *before = rows[0], *above = rows[1], *here = rows[2];
    int  length_a = (int)strlen(a), length_b = (int)strlen(b);

    for (int j = 0; j <= length_b; j++)
        above[j] = j;
    for (int i = 1; i <= length_a; i++) {
        here[0] = i;
        for (int j = 1; j <= length_b; j++) {
            here[j] =
                smallest(above[j] + 1, here[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < here[j])
                here[j] = before[j - 2] + 1;
        }
        int *last = before;
        before = above;
        above = here;
        here = last;
    }
    return above[length_b];
}

// A name is near when a third of it or less is wrong. A known name that lacks only its folder
// ("weight_decay" for "optimizer.weight_decay") counts as one mistake.
const char *th_option_nearest(const th_option_set *sets, int set_count, const char *name)
{
    const char *nearest = NULL;
    size_t      length = strlen(name);
    int         least = length < 6 ? 2 : (int)length / 3;

    if (length > NAME_LIMIT)
        return NULL;
    for (int s = 0; s < set_count; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const char *known = sets[s].rows[i].name;
            if (is_map(&sets[s].rows[i]) || strlen(known) > NAME_LIMIT)
                continue;
            const char *dot = strrchr(known, '.');
            int         whole = edit_distance(name, known);
            int         tail = dot && !strchr(name, '.') ? 1 + edit_distance(name, dot + 1) : whole;
            int         distance = whole < tail ? whole : tail;
            if (distance < least || (distance == least && !nearest)) {
                least = distance;
                nearest = known;
            }
        }
    }
    return nearest;
}

static size_t kind_size(th_option_kind kind)
{
    switch (kind) {
    case TH_INT:
        return sizeof(int64_t);
    case TH_REAL:
        return sizeof(double);
    case TH_FLAG:
        return sizeof(bool);
    case TH_TEXT:
        return sizeof(const char *);
    case TH_SPAN:
        return sizeof(th_span);
    case TH_BYTES:
        return sizeof(th_bytes);
    case TH_PAIR:
        return sizeof(th_pair);
    case TH_MAP:
        return sizeof(th_map);
    }
    return 0;
}

th_code th_options_default(const th_option_set *sets, int set_count, th_arena *pool, th_err *err)
{
    th_code rc = TH_OK;

    for (int s = 0; s < set_count; s++) {
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *row = &sets[s].rows[i];
            char            *field = (char *)sets[s].values + row->offset;
            memset(field, 0, kind_size(row->kind));
            if (row->fallback)
                TH_TRY(th_option_parse(row, row->name, row->fallback, pool, field, err));
        }
    }
out:
    return rc;
}

th_code th_option_set_value(const th_option_set *sets, int set_count, const char *name,
                            const char *text, th_arena *pool, th_err *err)
{
    th_code          rc = TH_OK;
    int              set = 0;
    const th_option *row = th_option_find(sets, set_count, name, &set);

    if (!row) {
        const char *near = th_option_nearest(sets, set_count, name);
        TH_CHECK(!near, TH_EUSAGE, "correct the name",
                 "unknown option \"%.80s\", did you mean \"%s\"?", name, near);
        TH_FAIL(TH_EUSAGE, "see the list of options in the help", "unknown option \"%.80s\"", name);
    }
    rc = th_option_parse(row, name, text, pool, (char *)sets[set].values + row->offset, err);
out:
    return rc;
}

static bool prefix_of(const char *shorter, const char *name)
{
    size_t length = strlen(shorter);

    return strncmp(shorter, name, length) == 0 && name[length] == '.';
}

static th_code check_row(const th_option *row, th_err *err)
{
    th_code rc = TH_OK;
    size_t  length = strlen(row->name);
    bool    star = length > 2 && strcmp(row->name + length - 2, ".*") == 0;
    char    field[sizeof(th_span) + sizeof(th_map)] __attribute__((aligned(16)));

    const char *fix = "correct the table";
    TH_CHECK(strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789_.") ==
                     length - (star ? 1 : 0) &&
                 length > 0,
             TH_EFAIL, fix, "option \"%s\": not a name of lower case words", row->name);
    TH_CHECK(star == is_map(row), TH_EFAIL, fix,
             "option \"%s\": maps and only maps have names that end in \".*\"", row->name);
    TH_CHECK(row->help && row->help[0], TH_EFAIL, fix, "option \"%s\": no help", row->name);
    TH_CHECK(row->min <= row->max, TH_EFAIL, fix, "option \"%s\": min is over max", row->name);
    TH_CHECK(!row->choices || row->kind == TH_TEXT, TH_EFAIL, fix,
             "option \"%s\": choices are for texts", row->name);
    TH_CHECK(!row->fallback || (!is_map(row) && !row->required), TH_EFAIL, fix,
             "option \"%s\": a fallback for a map or a required option", row->name);
    if (row->fallback)
        TH_TRY(th_option_parse(row, row->name, row->fallback, NULL, field, err));
out:
    return rc;
}

th_code th_options_check(const th_option *rows, int count, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < count; i++) {
        TH_TRY(check_row(&rows[i], err));
        TH_CHECK(i == 0 || strcmp(rows[i - 1].name, rows[i].name) < 0, TH_EFAIL,
                 "sort the table by name", "option \"%s\": stands twice, or not in order",
                 rows[i].name);
        for (int j = 0; j < i; j++)
            TH_CHECK(!prefix_of(rows[j].name, rows[i].name), TH_EFAIL, "rename one of them",
                     "option \"%s\": \"%s\" is a value, so nothing can stand below it",
                     rows[i].name, rows[j].name);
    }
out:
    return rc;
}
