// dataloader/tokenizer: tokenizers of several files. vocab.json with merges.txt, else vocab.txt
// with tokenizer_config.json, in one folder. What is accepted encodes inside its vocabulary and
// prints to what is the same tokenizer.
#include "dataloader/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 32

static const char caption[] =
    "A Red cat's 3rd <|endoftext|> [SEP] &amp;caf\xc3\xa9 \xe7\x8c\xab\xff";

static void check_ids(const th_tokenizer *tokenizer)
{
    int64_t vocabulary = th_tokenizer_vocabulary(tokenizer);
    int32_t ids[ROOM];

    th_fuzz_claim(th_tokenizer_begin(tokenizer) < vocabulary);
    th_fuzz_claim(th_tokenizer_end(tokenizer) < vocabulary);
    int64_t count = th_tokenizer_encode(tokenizer, caption, sizeof caption - 1, NULL, ids, ROOM);
    th_fuzz_claim(count >= 0 && count <= ROOM + 1);
    for (int64_t i = 0; i < count && i < ROOM; i++)
        th_fuzz_claim(ids[i] >= 0 && ids[i] < vocabulary);
}

static void check_print(const th_tokenizer *tokenizer)
{
    th_cleanup    cleanup = th_tokenizer_cleanup(tokenizer);
    th_tokenizer *again = NULL;
    const char   *name;
    char         *text = NULL;
    size_t        size;
    th_err        err = { 0 };

    th_fuzz_claim(th_tokenizer_print(tokenizer, &text, &size, &name, &err) == TH_OK);
    th_fuzz_claim(th_tokenizer_open_as(text, size,
                                       cleanup == TH_CLEANUP_BERT ? TH_CLEANUP_DEFAULT : cleanup,
                                       &again, &err) == TH_OK);
    th_fuzz_claim(th_tokenizer_hash(again) == th_tokenizer_hash(tokenizer));
    th_tokenizer_close(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "vocab.json", "merges.txt", "vocab.txt",
                                         "tokenizer_config.json" };
    th_tokenizer            *tokenizer = NULL;
    th_err                   err = { 0 };
    th_code rc = th_tokenizer_find(th_fuzz_folder(names, 4, bytes, size), TH_CLEANUP_DEFAULT,
                                   &tokenizer, &err);

    if (rc == TH_OK) {
        check_ids(tokenizer);
        check_print(tokenizer);
    } else
        th_fuzz_refusal(rc, err);
    th_tokenizer_close(tokenizer);
    return 0;
}
