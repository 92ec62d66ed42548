// dataloader/source/webdataset: a tar, plain or gzipped. A tar is a stream, so whatever it holds it
// must come to an end, and each sample is whole or has a reason.
#include "dataloader/source/source.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

static void check_item(const th_item *item)
{
    th_fuzz_claim(item->reason[0] || (item->image && item->text));
    th_fuzz_claim(item->image_bytes <= TH_SOURCE_IMAGE_BYTES);
    th_fuzz_claim(item->text_bytes <= TH_SOURCE_TEXT_BYTES);
    th_fuzz_claim(memchr(item->key, 0, sizeof item->key));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char       spec[64];
    th_source *source = NULL;
    th_item    item;
    th_err     err = { 0 };
    bool       more = true;

    (void)snprintf(spec, sizeof spec, "wds:%s", th_fuzz_file(bytes, size));
    th_fuzz_claim(th_source_open(spec, &source, &err) == TH_OK);
    while (more) {
        th_fuzz_claim(th_source_next(source, &item, &more, &err) == TH_OK);
        if (more)
            check_item(&item);
        th_item_free(&item);
    }
    th_source_close(source);
    return 0;
}
