#include "dataloader/packer_quarantine.h"

#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char fix[] = "make room on the disk of the new pack";

th_code th_quarantine_open(th_quarantine *quarantine, const char *folder, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(snprintf(quarantine->path, PATH_MAX, "%s/" TH_PACK_QUARANTINE, folder) < PATH_MAX &&
                 snprintf(quarantine->tmp, PATH_MAX, "%s/" TH_PACK_QUARANTINE ".tmp", folder) <
                     PATH_MAX,
             TH_EIO, "use a shorter path", "path of folder \"%.100s...\" is too long", folder);
    quarantine->file = fopen(quarantine->tmp, "we");
    TH_CHECK(quarantine->file, TH_EIO, fix, "could not create \"%s\": %s", quarantine->tmp,
             strerror(errno));
out:
    return rc;
}

void th_quarantine_close(th_quarantine *quarantine)
{
    if (quarantine->file)
        (void)fclose(quarantine->file); // not committed: thrown away
    quarantine->file = NULL;
}

// A JSON text of any bytes.
static json_t *text_of(const char *bytes)
{
    json_t *text = NULL;
    char   *out = malloc(4 * strlen(bytes) + 1), *to = out;

    if (!out)
        return NULL;
    while (*bytes) {
        utf8proc_int32_t point;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes, -1, &point);
        if (used > 0) {
            memcpy(to, bytes, (size_t)used);
            to += used;
            bytes += used;
        } else
            to += sprintf(to, "\\x%02x", (unsigned char)*bytes++);
    }
    *to = 0;
    text = json_string(out);
    free(out);
    return text;
}

static th_pack_reason *find_reason(th_pack_report *report, const char *kind)
{
    for (int i = 0; i < report->reason_count; i++)
        if (strcmp(report->reasons[i].reason, kind) == 0)
            return &report->reasons[i];
    return NULL;
}

static void count_reason(const char *reason, th_pack_report *report)
{
    const int       most = sizeof report->reasons / sizeof *report->reasons;
    char            kind[sizeof report->reasons->reason];
    const char     *colon = strstr(reason, ": ");
    th_pack_reason *row;

    (void)snprintf(kind, sizeof kind, "%.*s", (int)(colon ? colon - reason : (int)strlen(reason)),
                   reason);
    row = find_reason(report, kind);
    if (!row && report->reason_count >= most - 1) { // the last row is for all that find no room
        (void)snprintf(kind, sizeof kind, "other");
        row = find_reason(report, kind);
    }
    if (!row) {
        row = &report->reasons[report->reason_count++];
        memcpy(row->reason, kind, sizeof kind);
    }
    row->count++;
}

th_code th_quarantine_add(th_quarantine *quarantine, const th_item *item, th_pack_report *report,
                          th_err *err)
{
    th_code rc = TH_OK;
    char   *line = NULL;
    json_t *object = json_pack("{s:o, s:o, s:o}", "source", text_of(item->source), "key",
                               text_of(item->key), "reason", text_of(item->reason));

    line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    TH_CHECK(line, TH_EIO, "free some memory", "could not write \"%s\": out of memory",
             quarantine->tmp);
    TH_CHECK(fprintf(quarantine->file, "%s\n", line) > 0, TH_EIO, fix, "could not write \"%s\": %s",
             quarantine->tmp, strerror(errno));
    count_reason(item->reason, report);
out:
    free(line);
    json_decref(object);
    return rc;
}

static int most_first(const void *a, const void *b)
{
    const th_pack_reason *left = a, *right = b;

    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return strcmp(left->reason, right->reason);
}

th_code th_quarantine_commit(th_quarantine *quarantine, th_pack_report *report, th_err *err)
{
    th_code rc = TH_OK;
    int     closed = fclose(quarantine->file);

    quarantine->file = NULL;
    TH_CHECK(closed == 0, TH_EIO, fix, "could not close \"%s\": %s", quarantine->tmp,
             strerror(errno));
    TH_TRY(th_file_publish(AT_FDCWD, quarantine->tmp, quarantine->path, err));
    qsort(report->reasons, (size_t)report->reason_count, sizeof *report->reasons, most_first);
out:
    return rc;
}
