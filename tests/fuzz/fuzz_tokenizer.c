// dataloader/tokenizer: one file of any kind that thaw knows a tokenizer by (merges,
// tokenizer.json, vocab.txt, gzipped or not), and a caption through what was read.
#include "tests/fuzz/check_tokenizer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    th_tokenizer *tokenizer = NULL;
    th_err        err = { 0 };
    th_code       rc = th_tokenizer_open((const char *)bytes, size, &tokenizer, &err);

    if (rc == TH_OK)
        th_fuzz_check_tokenizer(tokenizer);
    else
        th_fuzz_refusal(rc, err);
    th_tokenizer_close(tokenizer);
    return 0;
}
