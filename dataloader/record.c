#include "dataloader/record.h"

#include "base/hash.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC         "TREC"
#define VERSION       1
#define HEAD_BYTES    28 // up to the table of captions
#define CAPTION_BYTES 8  // a row of that table
#define HASH_BYTES    8
#define NAME_BYTES    768 // of source and key: th_item keeps less

static const char fix_record[] =
    "pack the data again, or copy the pack again from where it is whole";

uint64_t th_sample_id(const char *source, const char *key)
{
    size_t end = strlen(source), start;
    char   name[NAME_BYTES];

    while (end > 0 && source[end - 1] == '/') // photos/ is photos
        end--;
    for (start = end; start > 0 && source[start - 1] != '/';)
        start--;
    int size = snprintf(name, sizeof name, "%.*s\n%s", (int)(end - start), source + start, key);
    return th_hash(name, size < NAME_BYTES ? (size_t)size : NAME_BYTES - 1);
}

// Values are written byte by byte through memcpy: a record may stand at any address.
static unsigned char *put16(unsigned char *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

static unsigned char *put32(unsigned char *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

static unsigned char *put64(unsigned char *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

static unsigned char *put_bytes(unsigned char *to, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(to, bytes, size);
    return to + size;
}

static uint16_t get16(const unsigned char *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static uint32_t get32(const unsigned char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static uint64_t get64(const unsigned char *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

// The limits of a record's picture; NULL when they hold, else what does not.
static const char *picture_fault(int codec, int width, int height, uint32_t image_bytes)
{
    if (codec < TH_CODEC_RAW || codec > TH_CODEC_JPEG)
        return "unknown codec";
    if (width < 1 || width > TH_RECORD_SIDE || height < 1 || height > TH_RECORD_SIDE)
        return "impossible width or height";
    if (image_bytes == 0)
        return "no image";
    if (codec == TH_CODEC_RAW && image_bytes != (uint32_t)width * (uint32_t)height * 3)
        return "image bytes that are not width x height x 3";
    return NULL;
}

size_t th_record_size(const th_record *record)
{
    // No overflow: each of at most 1024 captions adds at most 8 + 64 KiB + 4 KiB.
    size_t size = HEAD_BYTES + (size_t)record->image_bytes + HASH_BYTES;

    if (picture_fault((int)record->codec, record->width, record->height, record->image_bytes) ||
        record->caption_count < 0 || record->caption_count > TH_RECORD_CAPTIONS)
        return 0;
    for (int i = 0; i < record->caption_count; i++) {
        const th_caption *caption = &record->captions[i];
        if (caption->text_bytes > TH_RECORD_CAPTION_BYTES ||
            caption->token_count > TH_RECORD_TOKENS)
            return 0;
        size += CAPTION_BYTES + caption->text_bytes + sizeof(int32_t) * caption->token_count;
    }
    return size <= TH_RECORD_BYTES ? size : 0;
}

void th_record_write(const th_record *record, unsigned char *out)
{
    unsigned char *at = put_bytes(out, MAGIC, 4);

    at = put16(at, VERSION);
    *at++ = (unsigned char)record->codec;
    *at++ = 0;
    at = put64(at, record->sample_id);
    at = put16(at, (uint16_t)record->width);
    at = put16(at, (uint16_t)record->height);
    at = put32(at, record->image_bytes);
    at = put16(at, (uint16_t)record->caption_count);
    at = put16(at, 0);
    for (int i = 0; i < record->caption_count; i++) {
        at = put32(at, record->captions[i].text_bytes);
        at = put32(at, record->captions[i].token_count);
    }
    at = put_bytes(at, record->image, record->image_bytes);
    for (int i = 0; i < record->caption_count; i++)
        at = put_bytes(at, record->captions[i].text, record->captions[i].text_bytes);
    for (int i = 0; i < record->caption_count; i++)
        for (uint32_t k = 0; k < record->captions[i].token_count; k++)
            at = put32(at, (uint32_t)record->captions[i].tokens[k]);
    (void)put64(at, th_hash(out, (size_t)(at - out)));
}

// Checks the table of captions and that all lengths add up to `size`; *out_tokens is their sum.
static th_code check_lengths(const unsigned char *bytes, size_t size, int caption_count,
                             uint32_t image_bytes, size_t *out_tokens, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t total = HEAD_BYTES + (uint64_t)caption_count * CAPTION_BYTES + HASH_BYTES;
    size_t   tokens = 0;

    TH_CHECK(total <= size, TH_EDATA, fix_record,
             "record of %zu bytes has no room for its %d captions", size, caption_count);
    total += image_bytes;
    for (int i = 0; i < caption_count; i++) {
        const unsigned char *row = bytes + HEAD_BYTES + (size_t)i * CAPTION_BYTES;
        uint32_t             text_bytes = get32(row), token_count = get32(row + 4);

        TH_CHECK(text_bytes <= TH_RECORD_CAPTION_BYTES && token_count <= TH_RECORD_TOKENS, TH_EDATA,
                 fix_record, "record has a caption of %u bytes and %u tokens", text_bytes,
                 token_count);
        total += text_bytes + (uint64_t)token_count * sizeof(int32_t);
        tokens += token_count;
    }
    TH_CHECK(total == size, TH_EDATA, fix_record,
             "record has %zu bytes, but its lengths add up to %llu", size,
             (unsigned long long)total);
    *out_tokens = tokens;
out:
    return rc;
}

static th_code grow(th_record_scratch *scratch, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    if (scratch->size < size) {
        void *larger = realloc(scratch->bytes, size);
        TH_CHECK(larger, TH_EIO, "free some memory", "could not allocate %zu bytes for a record",
                 size);
        scratch->bytes = larger;
        scratch->size = size;
    }
out:
    return rc;
}

// The record's captions, whose lengths have been checked, with their tokens copied to aligned
// memory behind the array of captions.
static void read_captions(const unsigned char *bytes, th_record *record, void *scratch)
{
    th_caption          *captions = scratch;
    int32_t             *tokens = (int32_t *)(captions + record->caption_count);
    const unsigned char *text = (const unsigned char *)record->image + record->image_bytes;
    const unsigned char *ids = text;

    for (int i = 0; i < record->caption_count; i++) {
        const unsigned char *row = bytes + HEAD_BYTES + (size_t)i * CAPTION_BYTES;
        captions[i] = (th_caption){ .text_bytes = get32(row), .token_count = get32(row + 4) };
        ids += captions[i].text_bytes;
    }
    for (int i = 0; i < record->caption_count; i++) {
        captions[i].text = (const char *)text;
        text += captions[i].text_bytes;
        captions[i].tokens = tokens;
        for (uint32_t k = 0; k < captions[i].token_count; k++, ids += sizeof *tokens)
            *tokens++ = (int32_t)get32(ids);
    }
    record->captions = captions;
}

th_code th_record_read(const void *bytes, size_t size, th_record_scratch *scratch, th_record *out,
                       th_err *err)
{
    th_code              rc = TH_OK;
    const unsigned char *at = bytes;
    size_t               tokens = 0;

    TH_CHECK(size >= HEAD_BYTES + HASH_BYTES && size <= TH_RECORD_BYTES, TH_EDATA, fix_record,
             "record has an impossible size: %zu bytes", size);
    TH_CHECK(memcmp(at, MAGIC, 4) == 0, TH_EDATA, fix_record, "record does not begin with " MAGIC);
    TH_CHECK(get16(at + 4) == VERSION, TH_EDATA, "use the version of thaw that wrote the pack",
             "record has format version %d, this program reads %d", get16(at + 4), VERSION);
    TH_CHECK(get64(at + size - HASH_BYTES) == th_hash(at, size - HASH_BYTES), TH_EDATA, fix_record,
             "record is damaged: its hash is not that of its bytes");
    TH_CHECK(at[7] == 0 && get16(at + 26) == 0, TH_EDATA, fix_record,
             "record has bytes set that must be zero");

    th_record   record = { .codec = (th_codec)at[6],
                           .sample_id = get64(at + 8),
                           .width = get16(at + 16),
                           .height = get16(at + 18),
                           .image_bytes = get32(at + 20),
                           .caption_count = get16(at + 24) };
    const char *fault = picture_fault(at[6], record.width, record.height, record.image_bytes);
    TH_CHECK(!fault, TH_EDATA, fix_record, "record has %s", fault);
    TH_CHECK(record.caption_count <= TH_RECORD_CAPTIONS, TH_EDATA, fix_record,
             "record has %d captions", record.caption_count);
    TH_TRY(check_lengths(at, size, record.caption_count, record.image_bytes, &tokens, err));

    TH_TRY(grow(scratch,
                (size_t)record.caption_count * sizeof(th_caption) + tokens * sizeof(int32_t), err));
    record.image = at + HEAD_BYTES + (size_t)record.caption_count * CAPTION_BYTES;
    if (record.caption_count > 0) // else there need be no scratch
        read_captions(at, &record, scratch->bytes);
    *out = record;
out:
    return rc;
}
