// dataloader/tokenizer: tokenizers of several files. vocab.json with merges.txt, else vocab.txt
// with tokenizer_config.json, in one folder.
#include "tests/fuzz/check_tokenizer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "vocab.json", "merges.txt", "vocab.txt",
                                         "tokenizer_config.json" };
    th_tokenizer            *tokenizer = NULL;
    th_err                   err = { 0 };
    th_code rc = th_tokenizer_find(th_fuzz_folder(names, 4, bytes, size), TH_CLEANUP_DEFAULT,
                                   &tokenizer, &err);

    if (rc == TH_OK)
        th_fuzz_check_tokenizer(tokenizer);
    else
        th_fuzz_refusal(rc, err);
    th_tokenizer_close(tokenizer);
    return 0;
}
