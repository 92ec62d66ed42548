// dataloader/tokenizer: any bytes as a caption, for CLIP in both cleanups and for BERT. With a
// cache of words, and without one, the ids are the same.
#include "dataloader/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define KINDS 3
#define ROOM  128

static const char merges[] = "#version: 0.2\nc a\nca t</w>\nr e\nre d</w>\n\xc3\x83 \xc2\xa9</w>\n";
static const char list[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\ncat\nred\n##s\n.\n";

static th_tokenizer   *tokenizers[KINDS];
static th_token_cache *cache;

static void open_all(void)
{
    th_err err = { 0 };

    th_fuzz_claim(th_tokenizer_open_as(merges, strlen(merges), TH_CLEANUP_OPEN_CLIP, &tokenizers[0],
                                       &err) == TH_OK);
    th_fuzz_claim(
        th_tokenizer_open_as(merges, strlen(merges), TH_CLEANUP_HF, &tokenizers[1], &err) == TH_OK);
    th_fuzz_claim(th_tokenizer_open(list, strlen(list), &tokenizers[2], &err) == TH_OK);
    th_fuzz_claim(th_token_cache_open(&cache, &err) == TH_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int32_t ids[ROOM], again[ROOM];

    if (!cache)
        open_all();
    for (int k = 0; k < KINDS; k++) {
        int64_t count =
            th_tokenizer_encode(tokenizers[k], (const char *)bytes, size, NULL, ids, ROOM);
        th_fuzz_claim(count >= 0 && count <= ROOM + 1);
        th_fuzz_claim(count == th_tokenizer_encode(tokenizers[k], (const char *)bytes, size, cache,
                                                   again, ROOM));
        for (int64_t i = 0; i < count && i < ROOM; i++)
            th_fuzz_claim(ids[i] >= 0 && ids[i] < th_tokenizer_vocabulary(tokenizers[k]) &&
                          ids[i] == again[i]);
    }
    return 0;
}
