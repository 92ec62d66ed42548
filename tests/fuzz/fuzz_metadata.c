// dataloader/source/metadata: metadata.jsonl, and the table of the same name behind a cut.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "metadata.jsonl", "metadata.csv" };
    static const char *const table[] = { "metadata.csv" };

    th_fuzz_read_list("metadata", names, 2, NULL, bytes, size);
    if (size > 0 && bytes[0] == TH_FUZZ_CUT)
        th_fuzz_read_list("metadata", table, 1, NULL, bytes + 1, size - 1);
    return 0;
}
