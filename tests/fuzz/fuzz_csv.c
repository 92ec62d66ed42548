// dataloader/source/csv. Its pictures are looked for beside the table, where there are none of
// ours: what a row names is refused or read, and never waited for.
#include "dataloader/source/source.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>

static void read_all(th_source *source)
{
    th_item item;
    th_err  err = { 0 };
    bool    more = true;

    while (more) {
        th_fuzz_claim(th_source_next(source, &item, &more, &err) == TH_OK);
        if (more)
            th_fuzz_claim(item.reason[0] || (item.image && item.text));
        th_item_free(&item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char       spec[64];
    th_source *source = NULL;
    th_err     err = { 0 };

    (void)snprintf(spec, sizeof spec, "csv:%s", th_fuzz_file(bytes, size));
    th_code rc = th_source_open(spec, &source, &err);
    if (rc == TH_OK)
        read_all(source);
    else
        th_fuzz_refusal(rc, err);
    th_source_close(source);
    return 0;
}
