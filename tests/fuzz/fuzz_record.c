// dataloader/record, and the stored picture in it. The hash behind a record would refuse every
// guess, so each input is read twice: as it is, and with the hash that its bytes should have.
#include "base/hash.h"
#include "dataloader/image/image.h"
#include "dataloader/record.h"
#include "tests/fuzz/fuzz.h"

#include <endian.h>
#include <string.h>

#define HASH_BYTES 8

static void look_at(const th_record *record)
{
    unsigned sum = 0; // every byte that it points to is there

    for (uint32_t i = 0; i < record->image_bytes; i++)
        sum += ((const unsigned char *)record->image)[i];
    for (int k = 0; k < record->caption_count; k++) {
        for (uint32_t i = 0; i < record->captions[k].text_bytes; i++)
            sum += (unsigned char)record->captions[k].text[i];
        for (uint32_t i = 0; i < record->captions[k].token_count; i++)
            sum += (unsigned)record->captions[k].tokens[i];
    }
    *(volatile unsigned *)&sum = sum;
}

static void restore(const th_record *record)
{
    struct th_stored_picture stored = { (int)record->codec, record->width, record->height,
                                        record->image, record->image_bytes };
    th_image                 image = { 0 };
    th_err                   err = { 0 };
    th_code                  rc = th_image_restore(&stored, &image, &err);

    if (rc == TH_OK)
        th_fuzz_claim(image.width == record->width && image.height == record->height);
    else
        th_fuzz_refusal(rc, err);
    th_image_free(&image);
}

// What was read is written again to the same bytes.
static void read_one(const unsigned char *bytes, size_t size)
{
    th_record_scratch scratch = { 0 };
    th_record         record = { 0 };
    th_err            err = { 0 };
    th_code           rc = th_record_read(bytes, size, &scratch, &record, &err);

    if (rc == TH_OK) {
        unsigned char *again = malloc(size);
        th_fuzz_claim(again && th_record_size(&record) == size);
        look_at(&record);
        th_record_write(&record, again);
        th_fuzz_claim(memcmp(again, bytes, size) == 0);
        restore(&record);
        free(again);
    } else
        th_fuzz_refusal(rc, err);
    free(scratch.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_one(bytes, size);
    if (size >= HASH_BYTES) {
        unsigned char *hashed = malloc(size);
        th_fuzz_claim(hashed);
        uint64_t hash = htole64(th_hash(bytes, size - HASH_BYTES));
        memcpy(hashed, bytes, size - HASH_BYTES);
        memcpy(hashed + size - HASH_BYTES, &hash, HASH_BYTES);
        read_one(hashed, size);
        free(hashed);
    }
    return 0;
}
