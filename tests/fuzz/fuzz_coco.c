// dataloader/source/coco: images and annotations of one JSON file, brought together by ids.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "captions_val.json" };

    th_fuzz_read_list("coco", names, 1, NULL, bytes, size);
    return 0;
}
