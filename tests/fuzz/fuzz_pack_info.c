// dataloader/pack_info: dataset.json, the first that is read of a pack. What is accepted is
// printed, read again, and printed to the same text.
#include "dataloader/pack_info.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static char *print(const th_pack_info *info)
{
    char  *text = NULL;
    size_t size;
    th_err err = { 0 };

    th_fuzz_claim(th_pack_info_print(info, &text, &size, &err) == TH_OK);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    th_pack_info info = { 0 }, again = { 0 };
    th_err       err = { 0 };
    th_code      rc = th_pack_info_parse((const char *)bytes, size, &info, &err);

    if (rc != TH_OK) {
        th_fuzz_refusal(rc, err);
        return 0;
    }
    for (int i = 0; i < info.shard_count; i++)
        th_fuzz_claim(!strchr(info.shards[i].file, '/') && info.shards[i].records >= 0);
    char *text = print(&info);
    th_fuzz_claim(th_pack_info_parse(text, strlen(text), &again, &err) == TH_OK);
    char *second = print(&again);
    th_fuzz_claim(strcmp(text, second) == 0);
    free(text);
    free(second);
    th_pack_info_done(&info);
    th_pack_info_done(&again);
    return 0;
}
