#include "dataloader/packer_quarantine.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

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

th_code th_quarantine_print(const th_item *item, FILE *to, th_err *err)
{
    th_code rc = TH_OK;
    char   *line = NULL;
    json_t *object = json_pack("{s:o, s:o, s:o}", "source", text_of(item->source), "key",
                               text_of(item->key), "reason", text_of(item->reason));

    line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    TH_CHECK(line, TH_EIO, "free some memory", "could not note a refused sample: out of memory");
    TH_CHECK(fprintf(to, "%s\n", line) > 0, TH_EIO, "free some memory",
             "could not note a refused sample: %s", strerror(errno));
out:
    free(line);
    json_decref(object);
    return rc;
}
