#include "dataloader/label_list.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/record.h"
#include "dataloader/source/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define JSON_BYTES ((size_t)256 << 20)
#define LINE_BYTES ((size_t)64 << 10)
#define ID_DIGITS  16

static const char form[] =
    "write lines of picture, TAB, class, or JSON {\"picture\": \"class\"}: `thaw help eval`";

// --- classes by their names ---

typedef struct {
    const char *name;
    int32_t     class_;
} named_class;

// A list in the making.
typedef struct {
    th_label_list *list;
    int64_t        room;
    named_class   *name; // [classes] sorted
    int64_t        classes;
    const char    *unit; // "line", "entry"
} reader;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named_class *)a)->name, ((const named_class *)b)->name);
}

static th_code sort_names(reader *r, const th_class_list *classes, th_err *err)
{
    th_code rc = TH_OK;

    r->classes = classes->classes;
    TH_TRY(
        th_alloc((size_t)r->classes, sizeof *r->name, "names of classes", (void **)&r->name, err));
    for (int64_t c = 0; c < r->classes; c++)
        r->name[c] = (named_class){ classes->name[c], (int32_t)c };
    qsort(r->name, (size_t)r->classes, sizeof *r->name, by_name);
out:
    return rc;
}

// *out is NULL when no class has this name.
static th_code find_name(const reader *r, const char *name, int64_t place, const named_class **out,
                         th_err *err)
{
    named_class        key = { name, 0 };
    const named_class *end = r->name + r->classes,
                      *found = bsearch(&key, r->name, (size_t)r->classes, sizeof *r->name, by_name);
    th_code rc = TH_OK;

    TH_CHECK(!found || ((found == r->name || by_name(found - 1, found) != 0) &&
                        (found + 1 == end || by_name(found, found + 1) != 0)),
             TH_EDATA, "give its place in the list, from 0",
             "%s %" PRId64 " of \"%s\": two classes have the name \"%s\"", r->unit, place,
             r->list->path, name);
    *out = found;
out:
    return rc;
}

static th_code check_place(const reader *r, int64_t class_, int64_t place, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(class_ >= 0 && class_ < r->classes, TH_EDATA,
             "write a name or a place of the list of classes",
             "%s %" PRId64 " of \"%s\": class %" PRId64 " of classes 0 to %" PRId64, r->unit, place,
             r->list->path, class_, r->classes - 1);
out:
    return rc;
}

// A table's class: a name, else the digits of a place.
static th_code find_class(const reader *r, const char *text, int64_t place, int32_t *out,
                          th_err *err)
{
    const named_class *found;
    th_code            rc = TH_OK;
    char              *end;

    TH_TRY(find_name(r, text, place, &found, err));
    if (found) {
        *out = found->class_;
        return TH_OK;
    }
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    TH_CHECK(text[0] >= '0' && text[0] <= '9' && !*end && errno == 0, TH_EDATA,
             "write a name or a place of the list of classes",
             "%s %" PRId64 " of \"%s\": there is no class \"%.80s\"", r->unit, place, r->list->path,
             text);
    TH_TRY(check_place(r, number, place, err));
    *out = (int32_t)number;
out:
    return rc;
}

static th_code find_json_class(const reader *r, const json_t *value, int64_t place, int32_t *out,
                               th_err *err)
{
    const named_class *found = NULL;
    th_code            rc = TH_OK;

    if (json_is_integer(value)) {
        TH_TRY(check_place(r, json_integer_value(value), place, err));
        *out = (int32_t)json_integer_value(value);
        return TH_OK;
    }
    TH_CHECK(json_is_string(value), TH_EDATA, form,
             "%s %" PRId64 " of \"%s\": the class is no name and no whole number", r->unit, place,
             r->list->path);
    TH_TRY(find_name(r, json_string_value(value), place, &found, err));
    TH_CHECK(found, TH_EDATA, "write a name of the list of classes, or its place as a number",
             "%s %" PRId64 " of \"%s\": there is no class \"%.80s\"", r->unit, place, r->list->path,
             json_string_value(value));
    *out = found->class_;
out:
    return rc;
}

// --- pictures by their names ---

// "3f2a9c0d51e6b874", "00000012-3f2a9c0d51e6b874", "00000012-3f2a9c0d51e6b874.png".
static bool parse_picture(const char *text, th_label *out)
{
    const char *dash = strchr(text, '-');
    char        digits[ID_DIGITS + 1];
    int64_t     record = -1;

    if (dash) {
        char *end;
        errno = 0;
        record = strtoll(text, &end, 10);
        if (end != dash || text[0] < '0' || text[0] > '9' || errno != 0)
            return false;
        text = dash + 1;
    }
    if (strlen(text) < ID_DIGITS || (text[ID_DIGITS] && strcmp(text + ID_DIGITS, ".png") != 0))
        return false;
    memcpy(digits, text, ID_DIGITS);
    digits[ID_DIGITS] = 0;
    out->record = record;
    return th_hash_parse(digits, &out->id);
}

// One label more; its room is made. *out is borrowed until the next.
static th_code add(reader *r, int64_t place, th_label **out, th_err *err)
{
    th_label_list *list = r->list;
    th_code        rc = TH_OK;

    if (list->count == r->room) {
        int64_t   room = r->room > 0 ? r->room * 2 : 256;
        th_label *grown = reallocarray(list->label, (size_t)room, sizeof *grown);
        TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %" PRId64 " labels", room);
        list->label = grown;
        r->room = room;
    }
    *out = &list->label[list->count++];
    **out = (th_label){ .record = -1, .place = place };
out:
    return rc;
}

static th_code name_picture(const reader *r, const char *text, th_label *label, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(parse_picture(text, label), TH_EDATA,
             "write a sample id as `thaw inspect` prints it, or its source and key",
             "%s %" PRId64 " of \"%s\": \"%.80s\" is no picture's name", r->unit, label->place,
             r->list->path, text);
out:
    return rc;
}

// --- both forms of the file ---

static th_code read_line(reader *r, const th_lines *lines, th_err *err)
{
    char     *tab = strchr(lines->bytes, '\t'), *second = tab ? strchr(tab + 1, '\t') : NULL;
    th_label *label;
    th_code   rc = TH_OK;

    TH_CHECK(!lines->over, TH_EDATA, form, "line %" PRId64 " of \"%s\" has over %zu bytes",
             lines->number, lines->path, lines->limit);
    TH_CHECK(tab && !(second && strchr(second + 1, '\t')) && strlen(lines->bytes) == lines->size,
             TH_EDATA, form, "line %" PRId64 " of \"%s\" has no two or three fields", lines->number,
             lines->path);
    TH_TRY(add(r, lines->number, &label, err));
    *tab = 0;
    if (second) {
        *second = 0;
        label->id = th_sample_id(lines->bytes, tab + 1);
    } else
        TH_TRY(name_picture(r, lines->bytes, label, err));
    TH_TRY(find_class(r, (second ? second : tab) + 1, lines->number, &label->class_, err));
out:
    return rc;
}

static th_code read_table(reader *r, th_err *err)
{
    th_lines lines = { 0 };
    bool     more = true;
    th_code  rc = TH_OK;

    r->unit = "line";
    TH_TRY(th_lines_open(&lines, r->list->path, LINE_BYTES, err));
    while (more) {
        TH_TRY(th_lines_next(&lines, &more, err));
        if (more)
            TH_TRY(read_line(r, &lines, err));
    }
out:
    th_lines_close(&lines);
    return rc;
}

// The members of one source, or of the whole file where `source` is NULL.
static th_code read_object(reader *r, json_t *object, const char *source, th_err *err)
{
    const char *key;
    json_t     *value;
    th_label   *label;
    th_code     rc = TH_OK;

    json_object_foreach(object, key, value)
    {
        if (!source && json_is_object(value)) {
            TH_TRY(read_object(r, value, key, err));
            continue;
        }
        TH_TRY(add(r, r->list->count + 1, &label, err));
        if (source)
            label->id = th_sample_id(source, key);
        else
            TH_TRY(name_picture(r, key, label, err));
        TH_TRY(find_json_class(r, value, label->place, &label->class_, err));
    }
out:
    return rc;
}

static th_code read_json(reader *r, th_err *err)
{
    char        *text = NULL;
    size_t       size;
    json_error_t problem;
    json_t      *root = NULL;
    th_code      rc = TH_OK;

    r->unit = "entry";
    TH_TRY(th_file_read(r->list->path, JSON_BYTES, &text, &size, err));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    TH_CHECK(root, TH_EDATA, form, "file \"%s\": line %d: %s", r->list->path, problem.line,
             problem.text);
    TH_TRY(read_object(r, root, NULL, err));
out:
    json_decref(root);
    free(text);
    return rc;
}

// Whether the file is JSON: a table has no brace before a picture's name.
static th_code is_json(const char *path, bool *out, th_err *err)
{
    th_lines lines = { 0 };
    bool     more;
    th_code  rc = TH_OK;

    TH_TRY(th_lines_open(&lines, path, LINE_BYTES, err));
    do
        TH_TRY(th_lines_next(&lines, &more, err));
    while (more && !lines.bytes[strspn(lines.bytes, " \t")]);
    *out = more && lines.bytes[strspn(lines.bytes, " \t")] == '{';
out:
    th_lines_close(&lines);
    return rc;
}

int th_label_by_picture(const void *a, const void *b)
{
    const th_label *one = a, *two = b;

    if (one->id != two->id)
        return one->id < two->id ? -1 : 1;
    return (one->record > two->record) - (one->record < two->record);
}

static int by_picture_and_place(const void *a, const void *b)
{
    const th_label *one = a, *two = b;
    int             order = th_label_by_picture(a, b);

    return order != 0 ? order : (one->place > two->place) - (one->place < two->place);
}

// A label by the id alone is of every record with that id.
static th_code check_duplicates(const reader *r, th_err *err)
{
    const th_label *label = r->list->label;
    th_code         rc = TH_OK;

    for (int64_t i = 1; i < r->list->count; i++)
        TH_CHECK(label[i].id != label[i - 1].id ||
                     (label[i].record != label[i - 1].record && label[i - 1].record >= 0),
                 TH_EDATA, "leave one of them",
                 "\"%s\": %s %" PRId64 " is of the same picture as %" PRId64 ", %016" PRIx64,
                 r->list->path, r->unit, label[i].place, label[i - 1].place, label[i].id);
out:
    return rc;
}

th_code th_label_list_open(const char *path, const th_class_list *classes, th_label_list *out,
                           th_err *err)
{
    th_label_list list = { 0 };
    reader        r = { .list = &list };
    bool          json;
    th_code       rc = TH_OK;

    list.path = strdup(path);
    TH_CHECK(list.path, TH_EIO, "free some memory", "no memory for a path");
    TH_TRY(sort_names(&r, classes, err));
    TH_TRY(is_json(path, &json, err));
    TH_TRY(json ? read_json(&r, err) : read_table(&r, err));
    TH_CHECK(list.count > 0, TH_EDATA, form, "file \"%s\" has no label", path);
    qsort(list.label, (size_t)list.count, sizeof *list.label, by_picture_and_place);
    TH_TRY(check_duplicates(&r, err));
    *out = list;
    list = (th_label_list){ 0 };
out:
    free(r.name);
    th_label_list_close(&list);
    return rc;
}

void th_label_list_close(th_label_list *list)
{
    free(list->label);
    free(list->path);
    *list = (th_label_list){ 0 };
}
