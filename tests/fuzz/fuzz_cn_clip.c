// dataloader/source/cn_clip: pictures in base64, and the texts that name them by their ids.
#include "tests/fuzz/read_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "x_imgs.tsv", "x_texts.jsonl" };

    th_fuzz_read_list("cn_clip", names, 2, NULL, bytes, size);
    return 0;
}
