// dataloader/source/csv. Its pictures are looked for beside the table, where there are none of
// ours: what a row names is refused or read, and never waited for.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char spec[64];

    (void)snprintf(spec, sizeof spec, "csv:%s", th_fuzz_file(bytes, size));
    th_fuzz_read_source(spec, NULL);
    return 0;
}
