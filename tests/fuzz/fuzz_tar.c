// dataloader/source/webdataset: a tar, plain or gzipped. A tar is a stream, so whatever it holds it
// must come to an end, and each sample is whole or has a reason.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char spec[64];

    (void)snprintf(spec, sizeof spec, "wds:%s", th_fuzz_file(bytes, size));
    th_fuzz_read_source(spec, NULL);
    return 0;
}
