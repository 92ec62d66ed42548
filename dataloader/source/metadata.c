// Hugging Face's imagefolder: metadata.jsonl, or metadata.csv, beside pictures. A row names a
// picture (file_name) and has its caption in text, else caption, or where the option says: a string
// or a list of strings. Source: huggingface.co/docs/datasets, "Create an image dataset".
#include "dataloader/source/captions.h"
#include "dataloader/source/lines.h"
#include "dataloader/source/rows.h"

#include "base/file.h"
#include "base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    th_rows  rows;
    th_lines lines;
    char    *img_key, *caption_key; // NULL: the usual
} metadata;

static const json_t *caption_of(const metadata *m, const json_t *row)
{
    if (m->caption_key)
        return json_object_get(row, m->caption_key);
    const json_t *text = json_object_get(row, "text");
    return text ? text : json_object_get(row, "caption");
}

static th_code judge(metadata *m, th_item *out, const char *where, th_err *err)
{
    const char  *img_key = m->img_key ? m->img_key : "file_name";
    th_code      rc = TH_OK;
    char         what[80];
    json_error_t error;
    json_t      *row = m->lines.over ? NULL : json_loadb(m->lines.bytes, m->lines.size, 0, &error);
    const char  *name = json_string_value(json_object_get(row, img_key));

    th_item_start(out, m->rows.path, name ? name : "");
    if (m->lines.over)
        th_item_refuse(out, "line too long: %s has more than %d bytes", where,
                       TH_SOURCE_TEXT_BYTES);
    else if (!row)
        th_item_refuse(out, "damaged JSON: %s: %s", where, error.text);
    else if (!name || !name[0])
        th_item_refuse(out, "missing picture: %s has no text \"%.60s\"", where, img_key);
    (void)snprintf(what, sizeof what, "the caption of %s", where);
    if (!out->reason[0])
        TH_TRY(th_item_add_json(out, caption_of(m, row), what, err));
out:
    json_decref(row);
    return rc;
}

static th_code read_row(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err)
{
    metadata *m = (metadata *)rows;
    th_code   rc = TH_OK;

    TH_TRY(th_lines_next(&m->lines, out_more, err));
    atomic_store(&rows->head.done_bytes, m->lines.read);
    if (!*out_more)
        goto out;
    (void)snprintf(where, 48, "line %" PRId64, m->lines.number);
    TH_TRY(judge(m, out, where, err));
out:
    return rc;
}

static void close_metadata(th_rows *rows)
{
    metadata *m = (metadata *)rows;

    th_lines_close(&m->lines);
    free(m->img_key);
    free(m->caption_key);
    free(m);
}

static th_code open_lines(const char *path, const th_source_options *options, th_source **out,
                          th_err *err)
{
    th_code   rc = TH_OK;
    void     *memory = NULL;
    metadata *m = NULL;

    TH_TRY(th_alloc(1, sizeof *m, "a source", &memory, err));
    m = memory;
    m->rows.read_row = read_row;
    m->rows.close_rows = close_metadata;
    TH_TRY(th_rows_init(&m->rows, path, options, err));
    m->img_key = options->img_key ? strdup(options->img_key) : NULL;
    m->caption_key = options->caption_key ? strdup(options->caption_key) : NULL;
    TH_CHECK((m->img_key || !options->img_key) && (m->caption_key || !options->caption_key), TH_EIO,
             "free some memory", "could not open a list: out of memory");
    TH_TRY(th_lines_open(&m->lines, m->rows.path, TH_SOURCE_TEXT_BYTES, err));
    m->rows.head.total_bytes = m->lines.total;
    *out = &m->rows.head;
    m = NULL;
out:
    if (m)
        th_source_close(&m->rows.head);
    return rc;
}

// The same as a table: file_name, and text or caption.
static th_code open_table(const char *path, const th_source_options *options, th_source **out,
                          th_err *err)
{
    th_source_options named = *options;
    th_err            first;

    if (!named.img_key)
        named.img_key = "file_name";
    if (named.caption_key)
        return th_csv_open(path, &named, out, err);
    named.caption_key = "text";
    if (th_csv_open(path, &named, out, &first) == TH_OK)
        return TH_OK;
    named.caption_key = "caption";
    return th_csv_open(path, &named, out, err);
}

th_code th_metadata_open(const char *path, const th_source_options *options, th_source **out,
                         th_err *err)
{
    static const char *const names[] = { "metadata.jsonl", "metadata.csv" };
    th_code                  rc = TH_OK;
    char                     inside[4096];
    const char              *file = path, *dot;

    for (size_t i = 0; i < 2 && file == path; i++)
        if (th_path_join(inside, sizeof inside, path, names[i]) && th_path_exists(inside))
            file = inside;
    dot = strrchr(file, '.');
    if (dot && strcmp(dot, ".csv") == 0)
        TH_TRY(open_table(file, options, out, err));
    else
        TH_TRY(open_lines(file, options, out, err));
out:
    return rc;
}
