// Labels and the pictures of a pack brought together.
#include "base/memory.h"
#include "dataloader/label_list.h"

#include <inttypes.h>
#include <stdlib.h>

// The label of a record: by its number, or by its id alone.
static th_label *find_label(const th_label_list *list, uint64_t id, int64_t record)
{
    th_label  by_number = { .id = id, .record = record }, by_id = { .id = id, .record = -1 };
    th_label *found = bsearch(&by_number, list->label, (size_t)list->count, sizeof by_number,
                              th_label_by_picture);

    return found ? found
                 : bsearch(&by_id, list->label, (size_t)list->count, sizeof by_id,
                           th_label_by_picture);
}

// record[label]: which one it was found at, -1 none yet.
static th_code use(const th_label_list *list, uint64_t id, int64_t record, int64_t *used,
                   int32_t *out, th_err *err)
{
    const th_label *label = find_label(list, id, record);
    th_code         rc = TH_OK;

    if (!label)
        return TH_OK;
    int64_t *at = &used[label - list->label];
    TH_CHECK(*at < 0, TH_EDATA,
             "name each by its number and id, as `thaw inspect --dump-images` does",
             "\"%s\": id %016" PRIx64 " is that of records %" PRId64 " and %" PRId64, list->path,
             id, *at, record);
    *at = record;
    *out = label->class_;
out:
    return rc;
}

static th_code check_used(const th_label_list *list, const int64_t *used, th_err *err)
{
    th_code rc = TH_OK;

    for (int64_t i = 0; i < list->count; i++) {
        const th_label *label = &list->label[i];
        TH_CHECK(used[i] >= 0 || label->record < 0, TH_EDATA,
                 "take it out, or name the pack that it was written for with --data",
                 "\"%s\": the pack has no picture %08" PRId64 "-%016" PRIx64, list->path,
                 label->record, label->id);
        TH_CHECK(used[i] >= 0, TH_EDATA,
                 "take it out, or name the pack that it was written for with --data",
                 "\"%s\": the pack has no picture %016" PRIx64 ", which label %" PRId64 " names",
                 list->path, label->id, label->place);
    }
out:
    return rc;
}

th_code th_label_list_apply(const th_label_list *list, th_pack *pack, int32_t *label, th_err *err)
{
    int64_t           records = th_pack_describe(pack)->records, damaged = 0;
    int64_t          *used = NULL;
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         record;
    th_code           rc = TH_OK;

    TH_TRY(th_alloc((size_t)list->count, sizeof *used, "labels", (void **)&used, err));
    for (int64_t i = 0; i < list->count; i++)
        used[i] = -1;
    for (int64_t i = 0; i < records; i++) {
        label[i] = -1;
        rc = th_pack_read(pack, i, &copy, &scratch, &record, err);
        damaged += rc == TH_EDATA;
        if (rc == TH_EDATA)
            continue; // evaluation puts another in its place
        TH_TRY(rc);
        TH_TRY(use(list, record.sample_id, i, used, &label[i], err));
    }
    rc = TH_OK;
    if (damaged == 0)
        TH_TRY(check_used(list, used, err));
out:
    free(used);
    free(copy.bytes);
    free(scratch.bytes);
    return rc;
}
