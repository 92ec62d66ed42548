#include "dataloader/source/kind.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

th_code th_source_open(const char *spec, th_source **out, th_err *err)
{
    th_code rc = TH_OK;

    if (strncmp(spec, "wds:", 4) == 0)
        return th_webdataset_open(spec + 4, out, err);
    if (strncmp(spec, "csv:", 4) == 0)
        return th_csv_open(spec + 4, out, err);
    TH_FAIL(TH_EUSAGE, "write wds:'data/*.tar' or csv:captions.csv",
            "source \"%s\" is of no known kind", spec);
out:
    return rc;
}

void th_source_close(th_source *source)
{
    if (source)
        source->close(source);
}

th_code th_source_next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    *out = (th_item){ 0 };
    return source->next(source, out, out_more, err);
}

void th_source_progress(const th_source *source, int64_t *out_done, int64_t *out_total)
{
    *out_done = atomic_load(&source->done_bytes);
    *out_total = source->total_bytes;
}

void th_item_free(th_item *item)
{
    free(item->image);
    free(item->text);
    *item = (th_item){ 0 };
}

void th_item_start(th_item *item, const char *source, const char *key)
{
    *item = (th_item){ 0 };
    (void)snprintf(item->source, sizeof item->source, "%s", source);
    if (snprintf(item->key, sizeof item->key, "%s", key) >= (int)sizeof item->key)
        th_item_refuse(item, "key too long: %zu bytes, at most %zu are kept", strlen(key),
                       sizeof item->key - 1);
}

void th_item_refuse(th_item *item, const char *format, ...)
{
    va_list values;

    if (item->reason[0])
        return;
    va_start(values, format);
    (void)vsnprintf(item->reason, sizeof item->reason, format, values);
    va_end(values);
}
