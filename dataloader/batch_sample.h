/* dataloader/batch_sample.h - one sample of a batch: record, crop and captions drawn, pixels and
 * tokens.
 *
 * All of it is a pure function of (pack, options, position). A damaged record (its hash, its
 * picture, its tokens, no captions) is replaced by the next good one in record order, the last
 * one's next being the first. */
#ifndef TH_DATALOADER_BATCH_SAMPLE_H
#define TH_DATALOADER_BATCH_SAMPLE_H

#include "dataloader/image/image.h"
#include "dataloader/loader.h"

typedef struct { // a record that was passed over, and why
    int64_t record;
    th_err  why;
} th_batch_damage;

typedef struct { // zeroed at first; its memory is used again, th_batch_sample_done gives it back
    int64_t          record;
    uint32_t         view;          // of it
    bool             has_row;       // the row was found, and pixels not made
    int32_t         *tokens;        // captions back to back, each with its begin and end
    int64_t         *ends;          // [caption_count]: where each ends in tokens
    int64_t          caption_count; // K, or all of the record
    int64_t          token_room, caption_room;
    th_batch_damage *damages;
    int64_t          damage_count;
} th_batch_sample;

typedef struct { // what a thread works in; zeroed at first
    th_record_scratch copy, scratch;
    th_image          picture;
    int               picks[TH_RECORD_CAPTIONS];
} th_batch_sample_room;

/* Makes the sample at a position: its row [row_bytes] (NULL: there is no source) when there is one,
 * else its pixels [size, size, 3]. Errors: TH_EDATA when more records in
 * a row are damaged than options->bad_share of the pack (they are in out->damages all the same),
 * TH_EIO. Any thread. */
TH_MUST_CHECK th_code th_batch_sample_make(const th_loader_options *options, int64_t position,
                                           th_batch_sample_room *room, uint8_t *pixels, void *row,
                                           th_batch_sample *out, th_err *err);
void                  th_batch_sample_done(th_batch_sample *sample);
void                  th_batch_sample_room_done(th_batch_sample_room *room);

/* Damaged records that a run may meet: at the next one it stops. */
int64_t th_batch_sample_damage_limit(const th_loader_options *options);

#endif
