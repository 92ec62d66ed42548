#include "tests/fuzz/check_tokenizer.h"

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

void th_fuzz_check_tokenizer(const th_tokenizer *tokenizer)
{
    check_ids(tokenizer);
    check_print(tokenizer);
}
