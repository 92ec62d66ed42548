#include "dataloader/source/text_list.h"

#include "dataloader/source/captions.h"
#include "dataloader/source/lines.h"

#include <stdlib.h>
#include <string.h>

th_code th_text_list_add(th_text_list *list, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    char   *copy = NULL;

    if (list->count == list->room) {
        int64_t room = list->room ? 2 * list->room : 256;
        char  **larger = reallocarray(list->text, (size_t)room, sizeof *larger);
        TH_CHECK(larger, TH_EIO, "free some memory", "could not keep %lld texts: out of memory",
                 (long long)room);
        list->text = larger;
        list->room = room;
    }
    copy = strndup(text, size);
    TH_CHECK(copy, TH_EIO, "free some memory", "could not keep a text: out of memory");
    list->text[list->count++] = copy;
out:
    return rc;
}

void th_text_list_close(th_text_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        free(list->text[i]);
    free(list->text);
    *list = (th_text_list){ 0 };
}

static th_code read_line(const th_lines *lines, th_text_list *list, th_err *err)
{
    const char *text = lines->bytes;
    size_t      size = lines->size;
    th_code     rc = TH_OK;

    TH_CHECK(!lines->over, TH_EDATA, "cut it", "line %lld of \"%s\" has more than %zu bytes",
             (long long)lines->number, lines->path, lines->limit);
    ptrdiff_t bad = th_find_invalid(text, size);
    TH_CHECK(bad < 0, TH_EDATA, "write captions in UTF-8",
             "line %lld of \"%s\" is not UTF-8: byte %td", (long long)lines->number, lines->path,
             bad);
    th_trim_spaces(&text, &size);
    if (size > 0)
        TH_TRY(th_text_list_add(list, text, size, err));
out:
    return rc;
}

th_code th_text_list_read(const char *path, size_t limit, th_text_list *out, th_err *err)
{
    th_text_list list = { 0 };
    th_lines     lines = { 0 };
    bool         more = false;
    th_code      rc = TH_OK;

    TH_TRY(th_lines_open(&lines, path, limit, err));
    TH_TRY(th_lines_next(&lines, &more, err));
    while (more) {
        TH_TRY(read_line(&lines, &list, err));
        TH_TRY(th_lines_next(&lines, &more, err));
    }
    TH_CHECK(list.count > 0, TH_EUSAGE, "write one caption a line", "no caption is in \"%s\"",
             path);
    *out = list;
out:
    th_lines_close(&lines);
    if (rc != TH_OK)
        th_text_list_close(&list);
    return rc;
}
