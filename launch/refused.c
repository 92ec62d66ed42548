#include "launch/refused.h"

#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count(th_refused *to, const char *reason)
{
    struct th_refused_reason *rows = to->reasons;
    const char               *colon = strstr(reason, ": ");
    char                      kind[sizeof rows->reason];
    int                       i = 0;

    (void)snprintf(kind, sizeof kind, "%.*s", (int)(colon ? colon - reason : (int)sizeof kind),
                   reason);
    while (i < to->reason_count && strcmp(rows[i].reason, kind) != 0)
        i++;
    to->total++;
    if (i == TH_REFUSED_REASONS) {
        to->others++;
        return;
    }
    if (i == to->reason_count)
        memcpy(rows[to->reason_count++].reason, kind, sizeof kind);
    rows[i].count++;
}

static int most_first(const void *a, const void *b)
{
    const struct th_refused_reason *one = a, *other = b;

    if (one->count != other->count)
        return one->count < other->count ? 1 : -1;
    return strcmp(one->reason, other->reason);
}

th_code th_refused_count(const char *pack, th_refused *out, th_err *err)
{
    th_refused counts = { 0 };
    char       path[4096], *line = NULL;
    size_t     room = 0;
    ssize_t    size;
    FILE      *file = NULL;
    th_code    rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, pack, "quarantine.jsonl"), TH_EUSAGE,
             "use a shorter path", "path \"%s\" is too long", pack);
    file = fopen(path, "re");
    TH_CHECK(file || errno == ENOENT, TH_EIO, "check that it can be read",
             "could not open file \"%s\": %s", path, strerror(errno));
    while (file && (size = getline(&line, &room, file)) > 0) {
        json_t     *object = json_loadb(line, (size_t)size, 0, NULL);
        const char *reason = json_string_value(json_object_get(object, "reason"));
        if (reason)
            count(&counts, reason);
        json_decref(object);
        TH_CHECK(reason, TH_EDATA, "pack again", "file \"%s\": line %lld is no refused input", path,
                 (long long)counts.total + 1);
    }
    TH_CHECK(!file || feof(file), TH_EIO, "check the disk", "could not read file \"%s\": %s", path,
             strerror(errno));
    qsort(counts.reasons, (size_t)counts.reason_count, sizeof *counts.reasons, most_first);
    *out = counts;
out:
    free(line);
    if (file)
        (void)fclose(file); // read only
    return rc;
}
