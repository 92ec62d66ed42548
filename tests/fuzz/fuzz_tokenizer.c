// dataloader/tokenizer: one file of any kind that thaw knows a tokenizer by (merges,
// tokenizer.json, vocab.txt, gzipped or not), and a caption through what was read.
#include "dataloader/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define ROOM 32

static const char caption[] =
    "A Red cat's 3rd <|endoftext|> [SEP] &amp;caf\xc3\xa9 \xe7\x8c\xab\xff";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    th_tokenizer *tokenizer = NULL;
    th_err        err = { 0 };
    int32_t       ids[ROOM];
    th_code       rc = th_tokenizer_open((const char *)bytes, size, &tokenizer, &err);

    if (rc != TH_OK) {
        th_fuzz_refusal(rc, err);
        return 0;
    }
    int64_t vocabulary = th_tokenizer_vocabulary(tokenizer);
    th_fuzz_claim(th_tokenizer_begin(tokenizer) < vocabulary);
    th_fuzz_claim(th_tokenizer_end(tokenizer) < vocabulary);
    int64_t count = th_tokenizer_encode(tokenizer, caption, sizeof caption - 1, NULL, ids, ROOM);
    th_fuzz_claim(count >= 0 && count <= ROOM + 1);
    for (int64_t i = 0; i < count && i < ROOM; i++)
        th_fuzz_claim(ids[i] >= 0 && ids[i] < vocabulary);
    th_tokenizer_close(tokenizer);
    return 0;
}
