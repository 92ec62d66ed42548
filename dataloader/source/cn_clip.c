// Chinese-CLIP's data sets: X_imgs.tsv, "id<TAB>base64 of the picture" a line, read as a stream,
// and X_texts.jsonl beside it, {"text_id", "text", "image_ids": [...]} a line, held in memory. A
// sample is a picture with all texts that name it, in their file's order. Texts whose pictures do
// not come are reported at the end. Source: github.com/OFA-Sys/Chinese-CLIP, README, "Data set
// format".
#include "dataloader/source/base64.h"
#include "dataloader/source/captions.h"
#include "dataloader/source/kind.h"
#include "dataloader/source/lines.h"

#include "base/memory.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES ((size_t)TH_SOURCE_IMAGE_BYTES / 3 * 4 + 64) // an id and the largest picture

typedef struct {
    int64_t image, order; // order: of the texts' file
    size_t  text, size;   // place in the texts; 0 and 0 once its picture was given
    int64_t line;
    bool    used;
} pair;

typedef struct {
    th_source head;
    char     *path, *texts_path;
    th_lines  lines;                          // of pictures
    pair     *pairs;                          // by image, then order
    size_t    pair_count, pair_room, pair_at; // pair_at: the next one looked at in the end
    char     *texts;
    size_t    text_bytes, text_room;
    th_item  *bad; // lines of texts that could not be used: given first
    size_t    bad_count, bad_room, bad_at;
} cn_clip;

// Makes room for `more` elements behind `count` of them.
static th_code make_room(void **list, size_t *room, size_t count, size_t more, size_t size,
                         th_err *err)
{
    th_code rc = TH_OK;
    size_t  wanted = *room ? *room : 256;

    while (wanted < count + more)
        wanted *= 2;
    if (wanted != *room) {
        void *larger = realloc(*list, wanted * size);
        TH_CHECK(larger, TH_EIO, "free some memory", "could not hold texts: out of memory");
        *list = larger;
        *room = wanted;
    }
out:
    return rc;
}

// The line at hand of the texts is of no use.
static th_code add_bad(cn_clip *c, int64_t line, const char *reason, th_err *err)
{
    th_code rc = TH_OK;
    void   *list = c->bad;

    TH_TRY(make_room(&list, &c->bad_room, c->bad_count, 1, sizeof *c->bad, err));
    c->bad = list;
    th_item_start(&c->bad[c->bad_count], c->texts_path, "");
    th_item_refuse(&c->bad[c->bad_count++], "%s, line %" PRId64, reason, line);
out:
    return rc;
}

static th_code add_pairs(cn_clip *c, const json_t *row, int64_t line, th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "image_ids");
    size_t        size = json_string_length(text);
    void         *list;

    for (size_t i = 0; i < json_array_size(ids); i++)
        if (!json_is_integer(json_array_get(ids, i)))
            return add_bad(c, line, "wrong type: image_ids holds what is no integer", err);
    if (!json_is_string(text) || !json_is_array(ids))
        return add_bad(c, line, "wrong type: no text, or no list image_ids", err);
    list = c->texts;
    TH_TRY(make_room(&list, &c->text_room, c->text_bytes, size + 1, 1, err));
    c->texts = list;
    memcpy(c->texts + c->text_bytes, json_string_value(text), size + 1);
    list = c->pairs;
    TH_TRY(make_room(&list, &c->pair_room, c->pair_count, json_array_size(ids), sizeof *c->pairs,
                     err));
    c->pairs = list;
    for (size_t i = 0; i < json_array_size(ids); i++, c->pair_count++)
        c->pairs[c->pair_count] = (pair){ .image = json_integer_value(json_array_get(ids, i)),
                                          .order = (int64_t)c->pair_count,
                                          .text = c->text_bytes,
                                          .size = size,
                                          .line = line };
    c->text_bytes += size + 1;
out:
    return rc;
}

static int by_image(const void *a, const void *b)
{
    const pair *one = a, *two = b;

    if (one->image != two->image)
        return one->image < two->image ? -1 : 1;
    return (one->order > two->order) - (one->order < two->order);
}

static th_code read_texts(cn_clip *c, th_err *err)
{
    th_code      rc = TH_OK;
    th_lines     lines = { 0 };
    json_t      *row = NULL;
    json_error_t error;
    bool         more;

    TH_TRY(th_lines_open(&lines, c->texts_path, TH_SOURCE_TEXT_BYTES, err));
    for (;;) {
        TH_TRY(th_lines_next(&lines, &more, err));
        if (!more)
            break;
        row = lines.over ? NULL : json_loadb(lines.bytes, lines.size, 0, &error);
        if (row)
            TH_TRY(add_pairs(c, row, lines.number, err));
        else
            TH_TRY(add_bad(c, lines.number,
                           lines.over ? "line too long: of the texts" : "damaged JSON: a text",
                           err));
        json_decref(row);
        row = NULL;
    }
    if (c->pair_count > 0)
        qsort(c->pairs, c->pair_count, sizeof *c->pairs, by_image);
out:
    json_decref(row);
    th_lines_close(&lines);
    return rc;
}

// The first pair of the image, or where it would stand.
static size_t find(const cn_clip *c, int64_t image)
{
    size_t low = 0, high = c->pair_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->pairs[middle].image < image)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static th_code add_texts(cn_clip *c, int64_t image, th_item *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  at = find(c, image), first = at;

    if (at < c->pair_count && c->pairs[at].image == image && c->pairs[at].used)
        th_item_refuse(out, "duplicate id: a line before has it");
    for (; at < c->pair_count && c->pairs[at].image == image && !out->reason[0]; at++) {
        pair *p = &c->pairs[at];
        p->used = true;
        TH_TRY(th_item_add_caption(out, c->texts + p->text, p->size, err));
    }
    if (at == first)
        th_item_refuse(out, "missing caption: no text has this image id");
out:
    return rc;
}

// The line at hand as an item.
static th_code read_picture(cn_clip *c, th_item *out, th_err *err)
{
    th_code   rc = TH_OK;
    th_lines *lines = &c->lines;
    size_t    length = strcspn(lines->bytes, "\t");
    bool      has_tab = lines->bytes[length] == '\t';
    char     *end = NULL, *picture = lines->bytes + length + 1;

    lines->bytes[length] = 0;
    th_item_start(out, c->path, lines->bytes);
    errno = 0;
    int64_t image = strtoll(lines->bytes, &end, 10);
    if (!has_tab)
        th_item_refuse(out, "broken row: line %" PRId64 " is not id, TAB, base64", lines->number);
    if (*end || end == lines->bytes || errno != 0)
        th_item_refuse(out, "wrong type: the id of line %" PRId64 " is no integer of 64 bits",
                       lines->number);
    if (lines->over)
        th_item_refuse(out, "picture too large: line %" PRId64 " has more than %zu bytes",
                       lines->number, LINE_BYTES);
    if (!out->reason[0])
        TH_TRY(add_texts(c, image, out, err));
    if (out->reason[0] || c->head.skim)
        goto out;
    size_t size = lines->size - length - 1;
    out->image = malloc(size / 4 * 3 + 3);
    TH_CHECK(out->image, TH_EIO, "free some memory", "could not read a picture: out of memory");
    if (!th_base64_decode(picture, size, out->image, &out->image_bytes))
        th_item_refuse(out, "damaged base64: line %" PRId64, lines->number);
out:
    return rc;
}

// The next image whose texts were not used; false at the end.
static bool next_lonely(cn_clip *c, th_item *out)
{
    size_t at = c->pair_at;
    char   key[32];

    while (at < c->pair_count && c->pairs[at].used)
        at++;
    c->pair_at = at;
    if (at == c->pair_count)
        return false;
    (void)snprintf(key, sizeof key, "%" PRId64, c->pairs[at].image);
    th_item_start(out, c->texts_path, key);
    th_item_refuse(out, "missing picture: text of line %" PRId64 ", no picture has this id",
                   c->pairs[at].line);
    while (c->pair_at < c->pair_count && c->pairs[c->pair_at].image == c->pairs[at].image)
        c->pair_at++;
    return true;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    cn_clip *c = (cn_clip *)source;
    th_code  rc = TH_OK;

    *out_more = true;
    if (c->bad_at < c->bad_count) {
        *out = c->bad[c->bad_at++];
        return TH_OK;
    }
    TH_TRY(th_lines_next(&c->lines, out_more, err));
    atomic_store(&c->head.done_bytes, c->lines.read);
    if (*out_more)
        TH_TRY(read_picture(c, out, err));
    else
        *out_more = next_lonely(c, out);
out:
    return rc;
}

static void close_source(th_source *source)
{
    cn_clip *c = (cn_clip *)source;

    th_lines_close(&c->lines);
    free(c->path);
    free(c->texts_path);
    free(c->pairs);
    free(c->texts);
    free(c->bad);
    free(c);
}

th_code th_cn_clip_open(const char *path, const th_source_options *options, th_source **out,
                        th_err *err)
{
    th_code     rc = TH_OK;
    void       *memory = NULL;
    cn_clip    *c = NULL;
    size_t      length = strlen(path), ending = strlen("_imgs.tsv");
    const char *fix = "name the pictures' file: cn_clip:data/train_imgs.tsv";

    (void)options; // takes none
    TH_CHECK(length > ending && strcmp(path + length - ending, "_imgs.tsv") == 0, TH_EUSAGE, fix,
             "\"%s\" does not end in _imgs.tsv", path);
    TH_TRY(th_alloc(1, sizeof *c, "a source", &memory, err));
    c = memory;
    c->head.next = next;
    c->head.close = close_source;
    c->path = strdup(path);
    TH_CHECK(c->path &&
                 asprintf(&c->texts_path, "%.*s_texts.jsonl", (int)(length - ending), path) >= 0,
             TH_EIO, "free some memory", "could not open a source: out of memory");
    TH_TRY(th_lines_open(&c->lines, c->path, LINE_BYTES, err));
    TH_TRY(read_texts(c, err));
    c->head.total_bytes = c->lines.total;
    *out = &c->head;
    c = NULL;
out:
    if (c)
        close_source(&c->head);
    return rc;
}
