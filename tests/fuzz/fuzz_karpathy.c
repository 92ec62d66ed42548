// dataloader/source/karpathy: all of the list, and some of its splits.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const       names[] = { "dataset_coco.json" };
    static const th_source_options some = { .split = "train,restval" };

    th_fuzz_read_list("karpathy", names, 1, NULL, bytes, size);
    th_fuzz_read_list("karpathy", names, 1, &some, bytes, size);
    return 0;
}
