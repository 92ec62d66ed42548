// Flickr30k's captions in the three forms that go round: the token file ("1000092795.jpg#0<TAB>a
// caption"), results.csv ("1000092795.jpg| 0| a caption", without quotes) and a table
// "image,caption" (captions.txt). One caption a line; lines of one picture follow each other.
// Source: Young et al. 2014, TACL 2, "From image descriptions to visual denotations".
#include "dataloader/source/captions.h"
#include "dataloader/source/lines.h"
#include "dataloader/source/rows.h"

#include "base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TOKENS, BARS, TABLE } form;

typedef struct {
    th_rows  rows;
    th_lines lines;
    form     form;
} flickr;

// Behind the spaces of what stands between two bars.
static char *trim(char *text)
{
    return text + strspn(text, " ");
}

// Cuts the line into name and caption; false when it is not of this form.
static bool cut(form kind, char *line, char **out_name, char **out_caption)
{
    char *end = strchr(line, kind == TOKENS ? '\t' : '|');

    *out_name = trim(line);
    if (!end)
        return false;
    *end = 0;
    if (kind == TOKENS) {
        char *number = strrchr(line, '#');
        *out_caption = end + 1;
        if (!number)
            return false;
        *number = 0;
        return number[1] && strspn(number + 1, "0123456789") == strlen(number + 1);
    }
    char *second = strchr(end + 1, '|');
    if (!second)
        return false;
    *out_caption = trim(second + 1);
    return true;
}

static th_code read_row(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err)
{
    flickr *f = (flickr *)rows;
    char   *name = "", *caption = "";
    th_code rc = TH_OK;

    TH_TRY(th_lines_next(&f->lines, out_more, err));
    atomic_store(&rows->head.done_bytes, f->lines.read);
    if (!*out_more)
        goto out;
    bool has_zero = memchr(f->lines.bytes, 0, f->lines.size) != NULL;
    bool is_row = cut(f->form, f->lines.bytes, &name, &caption);
    (void)snprintf(where, 48, "line %" PRId64, f->lines.number);
    th_item_start(out, rows->path, name);
    if (f->lines.over)
        th_item_refuse(out, "line too long: %s has more than %d bytes", where,
                       TH_SOURCE_TEXT_BYTES - 1);
    if (has_zero)
        th_item_refuse(out, "broken row: %s: a zero byte in it", where);
    if (!is_row || !name[0])
        th_item_refuse(out, "broken row: %s is not %s", where,
                       f->form == TOKENS ? "name#number, TAB, caption" : "name| number| caption");
    if (!caption[strspn(caption, " \t")])
        th_item_refuse(out, "empty caption: %s", where);
    if (!out->reason[0])
        TH_TRY(th_item_add_caption(out, caption, strlen(caption), err));
out:
    return rc;
}

static void close_flickr(th_rows *rows)
{
    flickr *f = (flickr *)rows;

    th_lines_close(&f->lines);
    free(f);
}

// By the first line: which form, and, behind a header, the first picture, to find the folder.
static th_code look(flickr *f, const th_source_options *options, th_err *err)
{
    static const char *const ends[] = { [TOKENS] = "#\t", [BARS] = "|", [TABLE] = "," };
    th_code                  rc = TH_OK;
    th_lines                 head = { 0 };
    bool                     more;

    TH_TRY(th_lines_open(&head, f->rows.path, TH_SOURCE_TEXT_BYTES, err));
    TH_TRY(th_lines_next(&head, &more, err));
    TH_CHECK(more, TH_EUSAGE, "check the path behind flickr:", "\"%s\" is empty", f->rows.path);
    if (strncmp(head.bytes, "image_name|", 11) == 0)
        f->form = BARS;
    else if (strcmp(head.bytes, "image,caption") == 0)
        f->form = TABLE;
    else
        TH_CHECK(strchr(head.bytes, '#') && strchr(head.bytes, '\t'), TH_EUSAGE,
                 "another table is read by csv:", "\"%s\" is none of Flickr30k's caption files",
                 f->rows.path);
    if (f->form != TOKENS)
        TH_TRY(th_lines_next(&head, &more, err));
    if (!more)
        goto out;
    head.bytes[strcspn(head.bytes, ends[f->form])] = 0;
    const char *name = head.bytes;
    TH_TRY(th_rows_find_folder(&f->rows, options, "", &name, 1, err));
out:
    th_lines_close(&head);
    return rc;
}

th_code th_flickr_open(const char *path, const th_source_options *options, th_source **out,
                       th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    flickr *f = NULL;
    bool    more;

    TH_TRY(th_alloc(1, sizeof *f, "a source", &memory, err));
    f = memory;
    f->rows.read_row = read_row;
    f->rows.close_rows = close_flickr;
    TH_TRY(th_rows_init(&f->rows, path, options, err));
    TH_TRY(look(f, options, err));
    if (f->form == TABLE) {
        th_source_options table = {
            .images = f->rows.folder, .img_key = "image", .caption_key = "caption", .separator = ","
        };
        TH_TRY(th_csv_open(path, &table, out, err));
        goto out;
    }
    TH_TRY(th_lines_open(&f->lines, f->rows.path, TH_SOURCE_TEXT_BYTES - 1, err));
    if (f->form == BARS)
        TH_TRY(th_lines_next(&f->lines, &more, err));
    f->rows.head.total_bytes = f->lines.total;
    *out = &f->rows.head;
    f = NULL;
out:
    if (f)
        th_source_close(&f->rows.head);
    return rc;
}
