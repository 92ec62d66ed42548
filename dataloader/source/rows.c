#include "dataloader/source/rows.h"
#include "dataloader/source/captions.h"

#include "base/file.h"
#include <stdio.h>
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
            if (!rows->head.skim)
                TH_TRY(th_item_read_picture(&rows->sample, rows->folder, rows->sample.key,
                                            rows->absolute_is_fine, rows->sample_where, err));
            give(&rows->sample, &rows->collecting, out);
            return TH_OK;
        }
        if (!rows->has_row) {
            *out_more = false;
            return TH_OK;
        }
        give(&rows->row, &rows->has_row, &rows->sample);
        rows->collecting = true;
        memcpy(rows->sample_where, rows->where, sizeof rows->where);
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

// The folder, and one of the usual names of picture folders in it, if a picture is there.
static th_code try_folder(th_rows *rows, const char *folder, const char *inside, const char *name,
                          bool *out_found, th_err *err)
{
    th_code rc = TH_OK;
    char   *picture = NULL, *joined = NULL;

    TH_CHECK(asprintf(&joined, "%s/%s", folder, inside) >= 0, TH_EIO, "free some memory",
             "could not find pictures: out of memory");
    TH_CHECK(asprintf(&picture, "%s/%s", joined, name) >= 0, TH_EIO, "free some memory",
             "could not find pictures: out of memory");
    *out_found = th_path_exists(picture);
    if (*out_found) {
        free(rows->folder);
        rows->folder = joined;
        joined = NULL;
    }
out:
    free(picture);
    free(joined);
    return rc;
}

th_code th_rows_find_folder(th_rows *rows, const th_source_options *options, const char *own,
                            const char *const *names, int count, th_err *err)
{
    const char *const usual[] = {
        "", own, "images", "Images", "flickr30k-images", "flickr30k_images"
    };
    th_code rc = TH_OK;
    bool    found = options->images != NULL || count == 0;
    char   *folders[2] = { strdup(rows->folder), NULL };

    TH_CHECK(folders[0] && asprintf(&folders[1], "%s/..", rows->folder) >= 0, TH_EIO,
             "free some memory", "could not find pictures: out of memory");
    for (int i = 0; i < count && !found; i++)
        for (int above = 0; above < 2 && !found; above++)
            for (size_t k = 0; k < sizeof usual / sizeof *usual && !found; k++)
                if (names[i][0] && !th_path_escapes(names[i], false) && (usual[k][0] || k == 0))
                    TH_TRY(try_folder(rows, folders[above], usual[k], names[i], &found, err));
    TH_CHECK(found, TH_EUSAGE, "name the folder of the pictures by --images",
             "could not find \"%.80s\" beside \"%s\"", names[0], rows->path);
out:
    free(folders[0]);
    free(folders[1]);
    return rc;
}
