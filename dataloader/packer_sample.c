#include "dataloader/packer_sample.h"

#include "base/hash.h"
#include "base/philox.h"
#include "dataloader/image/prepare.h"
#include "dataloader/source/captions.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ZLIB_LEVEL 6

#define VAL_SEED 0 // the split is part of the format: a sample's key alone decides

th_part th_sample_part(const th_pack_options *options, const char *key)
{
    th_rng rng;

    th_rng_init(&rng, VAL_SEED, TH_FOR_PACK, 0, th_hash(key, strlen(key)));
    return th_rng_uniform(&rng) < options->val ? TH_PART_VAL : TH_PART_TRAIN;
}

th_code th_sample_maker_open(th_sample_maker *out, th_err *err)
{
    *out = (th_sample_maker){ 0 };
    return th_token_cache_open(&out->cache, err);
}

void th_sample_maker_close(th_sample_maker *maker)
{
    th_image_free(&maker->decoded);
    th_image_free(&maker->square);
    th_token_cache_close(maker->cache);
    free(maker->tokens);
    *maker = (th_sample_maker){ 0 };
}

th_code th_codec_find(const char *name, th_codec *out, th_err *err)
{
    static const struct {
        const char *name;
        th_codec    codec;
    } known[] = { { "raw", TH_CODEC_RAW }, { "zlib", TH_CODEC_ZLIB }, { "jpeg", TH_CODEC_JPEG } };
    th_code rc = TH_OK;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].codec;
            return TH_OK;
        }
    TH_FAIL(TH_EUSAGE, "use raw, zlib or jpeg", "codec \"%s\" is not known", name);
out:
    return rc;
}

// One line of the text: a caption, or nothing when it is blank.
static void add_caption(const th_pack_options *options, th_item *item, const char *line,
                        size_t size, th_caption *out, int *count)
{
    th_trim_spaces(&line, &size);
    if (size == 0)
        return;
    if (size > (size_t)options->caption_bytes) {
        th_item_refuse(item, "caption too long: %zu bytes, at most %lld are kept", size,
                       (long long)options->caption_bytes);
        return;
    }
    if (*count < TH_RECORD_CAPTIONS)
        out[*count] = (th_caption){ .text = line, .text_bytes = (uint32_t)size };
    ++*count;
}

int th_sample_captions(const th_pack_options *options, th_item *item, th_caption *out)
{
    int       count = 0;
    ptrdiff_t bad = -1;

    if (item->reason[0])
        return 0;
    if (item->text)
        bad = th_find_invalid(item->text, item->text_bytes);
    if (bad >= 0)
        th_item_refuse(item, "invalid UTF-8: byte %td of the captions", bad);
    for (size_t at = 0; !item->reason[0] && at < item->text_bytes;) {
        const char *line = item->text + at;
        const char *end = memchr(line, '\n', item->text_bytes - at);
        size_t      size = end ? (size_t)(end - line) : item->text_bytes - at;
        add_caption(options, item, line, size, out, &count);
        at += size + 1;
    }
    if (count == 0)
        th_item_refuse(item, "empty caption: no line has text");
    if (count > TH_RECORD_CAPTIONS)
        th_item_refuse(item, "too many captions: %d, a record holds %d", count, TH_RECORD_CAPTIONS);
    return count;
}

// The stored bytes of the square: *out is maker->square's pixels, or *owned, which is free()d.
static th_code encode(const th_image *square, th_codec codec, int quality, const void **out,
                      uint8_t **owned, size_t *out_size, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = (size_t)square->width * (size_t)square->height * 3;

    *owned = NULL;
    *out = square->pixels;
    *out_size = size;
    if (codec == TH_CODEC_RAW)
        return TH_OK;
    if (codec == TH_CODEC_JPEG)
        TH_TRY(th_image_encode_jpeg(square, quality, owned, out_size, err));
    else {
        uLongf packed = compressBound(size);
        *owned = malloc(packed);
        TH_CHECK(*owned && compress2(*owned, &packed, square->pixels, size, ZLIB_LEVEL) == Z_OK,
                 TH_EIO, "free some memory", "could not compress a picture: out of memory");
        *out_size = packed;
    }
    *out = *owned;
out:
    return rc;
}

// Tokenizes the record's captions, which are maker->captions.
static th_code tokenize(th_sample_maker *maker, const th_tokenizer *tokenizer, th_made_sample *out,
                        th_err *err)
{
    th_code rc = TH_OK;
    size_t  used = 0, need = (size_t)out->caption_count * TH_RECORD_TOKENS;

    if (need > maker->token_room) {
        int32_t *grown = realloc(maker->tokens, need * sizeof *grown);
        TH_CHECK(grown, TH_EIO, "free some memory", "could not tokenize captions: out of memory");
        maker->tokens = grown;
        maker->token_room = need;
    }
    for (int i = 0; i < out->caption_count; i++) {
        th_caption *caption = &maker->captions[i];
        int64_t     count = th_tokenizer_encode(tokenizer, caption->text, caption->text_bytes,
                                                maker->cache, maker->tokens + used, TH_RECORD_TOKENS);
        TH_CHECK(count >= 0, TH_EIO, "free some memory",
                 "could not tokenize captions: out of memory");
        caption->tokens = maker->tokens + used;
        caption->token_count = (uint32_t)(count < TH_RECORD_TOKENS ? count : TH_RECORD_TOKENS);
        out->lengths[i] = (uint16_t)caption->token_count;
        used += caption->token_count;
    }
out:
    return rc;
}

// The record's bytes, or the reason why it cannot be one.
static th_code write_record(const th_record *record, th_item *item, th_made_sample *out,
                            th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = th_record_size(record);

    if (size == 0) {
        th_item_refuse(item, "sample too large: %u bytes of picture, %d captions",
                       record->image_bytes, record->caption_count);
        return TH_OK;
    }
    if (size > out->room) {
        free(out->record);
        out->room = 0;
        out->record = malloc(size);
        TH_CHECK(out->record, TH_EIO, "free some memory", "could not make a record: out of memory");
        out->room = size;
    }
    th_record_write(record, out->record);
    out->size = size;
    out->made = true;
out:
    return rc;
}

th_code th_sample_make(th_sample_maker *maker, const th_pack_options *options,
                       const th_tokenizer *tokenizer, th_item *item, th_made_sample *out,
                       th_err *err)
{
    th_code        rc = TH_OK;
    uint8_t       *owned = NULL;
    size_t         image_bytes = 0;
    th_record      record = { .captions = maker->captions };
    th_preparation how;
    th_err         why = { 0 };

    out->made = false;
    TH_TRY(th_preparation_find(options->alpha, options->exif, options->filter,
                               options->size + options->margin, &how, err));
    record.caption_count = out->caption_count = th_sample_captions(options, item, maker->captions);
    if (item->reason[0])
        return TH_OK;
    rc = th_image_prepare(item->image, item->image_bytes, &how, &maker->decoded, &maker->square,
                          &why);
    if (rc == TH_EDATA) {
        th_item_refuse(item, "%s", why.what);
        return TH_OK;
    }
    if (rc != TH_OK && err)
        *err = why;
    TH_TRY(rc);
    TH_TRY(tokenize(maker, tokenizer, out, err));
    TH_TRY(th_codec_find(options->codec, &record.codec, err));
    TH_TRY(encode(&maker->square, record.codec, (int)options->quality, &record.image, &owned,
                  &image_bytes, err));
    record.sample_id = th_sample_id(item->source, item->key);
    out->width = maker->decoded.width;
    out->height = maker->decoded.height;
    record.width = maker->square.width;
    record.height = maker->square.height;
    record.image_bytes = (uint32_t)image_bytes;
    TH_TRY(write_record(&record, item, out, err));
out:
    free(owned);
    return rc == TH_OK ? TH_OK : th_during(err, "packing \"%.100s\"", item->key);
}
