#include "dataloader/batch_sample.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

static const char fix_record[] = "pack the data again, or verify the pack: thaw inspect --verify";
static const char fix_memory[] = "free some memory, or use fewer threads or a smaller batch";

// torchvision's RandomResizedCrop, as open_clip uses it.
static const double crop_ratio[2] = { 3.0 / 4.0, 4.0 / 3.0 };

static double uniform(void *rng)
{
    return th_rng_uniform(rng);
}

// --- pictures ---

// The picture as pixels. Raw ones are looked at where they are, without a copy: nothing writes to a
// picture that is an input.
static th_code restore(const th_record *record, th_batch_sample_room *room, th_image *out,
                       th_err *err)
{
    th_code rc = TH_OK;

    if (record->codec == TH_CODEC_RAW) {
        *out = (th_image){ .width = record->width,
                           .height = record->height,
                           .pixels = (uint8_t *)(uintptr_t)record->image };
        return rc;
    }
    struct th_stored_picture stored = { .codec = (int)record->codec,
                                        .width = record->width,
                                        .height = record->height,
                                        .bytes = record->image,
                                        .size = record->image_bytes };
    TH_TRY(th_image_restore(&stored, &room->picture, err));
    *out = room->picture;
out:
    return rc;
}

// Which view of a record an epoch takes.
static uint32_t view_of(const th_loader_options *options, int64_t epoch, int64_t number)
{
    th_rng rng;

    if (!options->random_crop || options->views == 0)
        return 0;
    if (options->views_in_turn)
        return (uint32_t)(epoch % options->views);
    th_rng_init(&rng, options->order.seed, TH_FOR_VIEW, (uint32_t)epoch, (uint64_t)number);
    return (uint32_t)th_rng_below(&rng, (uint64_t)options->views);
}

// crop: the key of the draw, an epoch or a view.
static th_code make_pixels(const th_loader_options *options, uint32_t crop, int64_t number,
                           const th_record *record, th_batch_sample_room *room, uint8_t *pixels,
                           th_err *err)
{
    th_code             rc = TH_OK;
    const th_pack_info *info = th_pack_describe(options->pack);
    int                 side = (int)info->size, size = (int)options->size;
    int                 box[4];
    th_filter           filter;
    th_image            picture = { 0 };
    th_image            out = { .pixels = pixels, .room = (size_t)size * (size_t)size * 3 };

    TH_CHECK(record->width >= side && record->height >= side, TH_EDATA, fix_record,
             "damaged record: a picture of %d x %d pixels in a pack of %d", record->width,
             record->height, side);
    TH_TRY(th_filter_find(info->filter, &filter, err));
    TH_TRY(restore(record, room, &picture, err));
    if (options->random_crop) {
        th_rng rng;
        th_rng_init(&rng, options->order.seed, TH_FOR_CROP, crop, (uint64_t)number);
        th_image_random_box(picture.width, picture.height, options->crop_scale, crop_ratio, uniform,
                            &rng, box);
    } else { // the place that torchvision's CenterCrop takes
        box[0] = (int)nearbyint((picture.width - side) / 2.0);
        box[1] = (int)nearbyint((picture.height - side) / 2.0);
        box[2] = box[3] = side;
    }
    // `out` has room enough, so that the pixels are written where they belong.
    TH_TRY(th_image_resize(&picture, filter, box[0], box[1], box[0] + box[2], box[1] + box[3], size,
                           size, &out, err));
out:
    return rc;
}

// --- captions ---

static th_code grow(void *array, int64_t *room, int64_t needed, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void  **at = array;

    if (*room < needed) {
        int64_t larger = needed + needed / 2;
        void *memory = realloc(*at, (size_t)larger * size); // at most 1024 captions of 1024 tokens
        TH_CHECK(memory, TH_EIO, fix_memory, "could not allocate memory for captions");
        *at = memory;
        *room = larger;
    }
out:
    return rc;
}

// Fills room->picks with caption_count numbers of which caption k of the sample is picks[k modulo
// caption_count]: the first ones are drawn without replacement, or all stand in order.
static void draw_captions(const th_loader_options *options, int64_t epoch, int64_t number,
                          int caption_count, int *picks)
{
    th_rng rng;

    for (int i = 0; i < caption_count; i++)
        picks[i] = i;
    th_rng_init(&rng, options->order.seed, TH_FOR_CAPTION, (uint32_t)epoch, (uint64_t)number);
    for (int i = 0; i < caption_count && i < options->captions; i++) {
        int k = i + (int)th_rng_below(&rng, (uint64_t)(caption_count - i)), pick = picks[k];
        picks[k] = picks[i];
        picks[i] = pick;
    }
}

// Appends a caption's tokens to `to`, with the ids that belong around it; returns their number. One
// of CLIP's ends at an EOT of its own (it may spell one), as only what stands before the first one
// reaches the pooled row.
static th_code put_caption(const th_caption *caption, int64_t context,
                           const th_tokenizer *tokenizer, int32_t *to, int64_t *out_count,
                           th_err *err)
{
    th_code rc = TH_OK;
    int64_t count = 0, vocabulary = th_tokenizer_vocabulary(tokenizer);
    int32_t end = th_tokenizer_end(tokenizer);
    bool    ends_at_its_own = th_tokenizer_kind(tokenizer) == TH_TOKENS_CLIP;

    to[count++] = th_tokenizer_begin(tokenizer);
    for (uint32_t i = 0; i < caption->token_count && count < context - 1; i++) {
        int32_t token = caption->tokens[i];
        TH_CHECK(token >= 0 && token < vocabulary, TH_EDATA, fix_record,
                 "damaged record: token %d of a vocabulary of %lld", token, (long long)vocabulary);
        if (token == end && ends_at_its_own)
            break;
        to[count++] = token;
    }
    to[count++] = end;
    *out_count = count;
out:
    return rc;
}

static th_code make_tokens(const th_loader_options *options, int64_t epoch, int64_t number,
                           const th_record *record, int *picks, th_batch_sample *out, th_err *err)
{
    th_code rc = TH_OK;
    int64_t used = 0, count = options->captions ? options->captions : record->caption_count;

    TH_CHECK(record->caption_count > 0, TH_EDATA, fix_record, "damaged record: it has no captions");
    draw_captions(options, epoch, number, record->caption_count, picks);
    TH_TRY(grow(&out->ends, &out->caption_room, count, sizeof *out->ends, err));
    for (int64_t k = 0; k < count; k++) {
        const th_caption *caption = &record->captions[picks[k % record->caption_count]];
        int64_t           length = 0;
        TH_TRY(grow(&out->tokens, &out->token_room, used + caption->token_count + 2,
                    sizeof *out->tokens, err));
        TH_TRY(put_caption(caption, options->context, th_pack_tokenizer(options->pack),
                           out->tokens + used, &length, err));
        used += length;
        out->ends[k] = used;
    }
    out->caption_count = count;
out:
    return rc;
}

// --- samples ---

static th_code try_record(const th_loader_options *options, int64_t epoch, int64_t number,
                          th_batch_sample_room *room, uint8_t *pixels, void *row,
                          th_batch_sample *out, th_err *err)
{
    const th_row_source *rows = &options->rows;
    uint32_t             view = view_of(options, epoch, number);
    uint32_t             crop = options->views ? view : (uint32_t)epoch;
    th_code              rc = TH_OK;
    th_record            record;

    TH_TRY(th_pack_read(options->pack, number, &room->copy, &room->scratch, &record, err));
    TH_TRY(make_tokens(options, epoch, number, &record, room->picks, out, err));
    out->has_row = rows->get && rows->get(rows->context, number, view, row);
    if (!out->has_row)
        TH_TRY(make_pixels(options, crop, number, &record, room, pixels, err));
    out->record = number;
    out->view = view;
out:
    return rc;
}

static th_code note_damage(th_batch_sample *sample, int64_t record, const th_err *why, th_err *err)
{
    th_code          rc = TH_OK;
    th_batch_damage *larger =
        realloc(sample->damages, ((size_t)sample->damage_count + 1) * sizeof *sample->damages);

    TH_CHECK(larger, TH_EIO, fix_memory, "could not note damaged record %lld: out of memory",
             (long long)record);
    sample->damages = larger;
    sample->damages[sample->damage_count++] = (th_batch_damage){ .record = record, .why = *why };
out:
    return rc;
}

int64_t th_batch_sample_damage_limit(const th_loader_options *options)
{
    return (int64_t)(options->bad_share * (double)options->order.records);
}

th_code th_batch_sample_make(const th_loader_options *options, int64_t position,
                             th_batch_sample_room *room, uint8_t *pixels, void *row,
                             th_batch_sample *out, th_err *err)
{
    th_code rc = TH_OK;
    int64_t records = options->order.records, limit = th_batch_sample_damage_limit(options);
    int64_t epoch = th_order_epoch(&options->order, position);
    int64_t first = th_order_record(&options->order, position);
    th_err  why = { 0 };

    out->damage_count = 0;
    for (int64_t i = 0; i <= limit && i < records; i++) {
        int64_t number = (first + i) % records;
        why = (th_err){ 0 };
        rc = try_record(options, epoch, number, room, pixels, row, out, &why);
        if (rc != TH_EDATA)
            break;
        TH_TRY(note_damage(out, number, &why, err));
        rc = TH_EDATA;
    }
    if (rc != TH_OK && err)
        *err = why;
out:
    return rc;
}

void th_batch_sample_done(th_batch_sample *sample)
{
    free(sample->tokens);
    free(sample->ends);
    free(sample->damages);
    *sample = (th_batch_sample){ 0 };
}

void th_batch_sample_room_done(th_batch_sample_room *room)
{
    free(room->copy.bytes);
    free(room->scratch.bytes);
    th_image_free(&room->picture);
}
