#include "dataloader/source/rows.h"
#include "dataloader/source/captions.h"

#include <stdlib.h>
#include <string.h>

// The row's captions, which are lines already, behind those of the sample.
static th_code append_row(th_rows *rows, th_err *err)
{
    th_code  rc = TH_OK;
    th_item *sample = &rows->sample, *row = &rows->row;

    for (size_t at = 0; at < row->text_bytes;) {
        const char *line = row->text + at;
        size_t      size = (size_t)((char *)memchr(line, '\n', row->text_bytes - at) - line);
        TH_TRY(th_item_add_caption(sample, line, size, err));
        at += size + 1;
    }
out:
    th_item_free(row);
    rows->has_row = false;
    return rc;
}

static void give(th_item *from, bool *held, th_item *out)
{
    *out = *from;
    *from = (th_item){ 0 };
    *held = false;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    th_rows *rows = (th_rows *)source;
    th_code  rc = TH_OK;

    *out_more = true;
    for (;;) {
        if (!rows->has_row)
            TH_TRY(rows->read_row(rows, &rows->row, rows->where, &rows->has_row, err));
        if (rows->has_row && rows->row.reason[0]) {
            give(&rows->row, &rows->has_row, out);
            return TH_OK;
        }
        if (rows->has_row && rows->collecting && strcmp(rows->row.key, rows->sample.key) == 0) {
            TH_TRY(append_row(rows, err));
            continue;
        }
        if (rows->collecting) { // the row at hand waits for the next call
            give(&rows->sample, &rows->collecting, out);
            return TH_OK;
        }
        if (!rows->has_row) {
            *out_more = false;
            return TH_OK;
        }
        give(&rows->row, &rows->has_row, &rows->sample);
        rows->collecting = true;
        TH_TRY(th_item_read_picture(&rows->sample, rows->folder, rows->sample.key,
                                    rows->absolute_is_fine, rows->where, err));
    }
out:
    return rc;
}

static void close_source(th_source *source)
{
    th_rows *rows = (th_rows *)source;

    th_item_free(&rows->row);
    th_item_free(&rows->sample);
    free(rows->path);
    free(rows->folder);
    rows->close_rows(rows);
}

th_code th_rows_init(th_rows *rows, const char *path, const th_source_options *options, th_err *err)
{
    th_code rc = TH_OK;

    rows->head.next = next;
    rows->head.close = close_source;
    rows->path = strdup(path);
    TH_CHECK(rows->path, TH_EIO, "free some memory", "could not open a list: out of memory");
    if (!options->images)
        TH_TRY(th_folder_of(path, &rows->folder, err));
    else {
        rows->folder = strdup(options->images);
        TH_CHECK(rows->folder, TH_EIO, "free some memory", "could not open a list: out of memory");
    }
out:
    return rc;
}
