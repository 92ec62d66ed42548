// dataloader/source/flickr: its three forms, told apart by the first line.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "results.token" };

    th_fuzz_read_list("flickr", names, 1, NULL, bytes, size);
    return 0;
}
