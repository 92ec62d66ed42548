/* dataloader/loader.h - this rank's slice of each global batch, ready before it is asked for.
 *
 * Threads read ahead: record -> decode -> crop -> uint8 RGB; captions drawn, cut and packed. What a
 * batch holds is a pure function of (pack, seed, position): never of threads, ranks or timing. A
 * record that is damaged is replaced by the next good one in record order (the same on every rank),
 * counted, and named in the log once by each rank that meets it. */
#ifndef TH_DATALOADER_LOADER_H
#define TH_DATALOADER_LOADER_H

#include "dataloader/order.h"
#include "dataloader/pack.h"

/* Rows that stand for pictures: what a frozen tower made of them, and somebody keeps. */
typedef struct {
    /* Copies the row of a record's view to out_row [row_bytes]; false: there is none, and nothing
     * of use in out_row. Called by the reading threads, several at once. */
    bool (*get)(void *context, int64_t record, uint32_t view, void *out_row);
    void  *context;
    size_t row_bytes;
} th_row_source;

typedef struct {
    th_pack *pack; // kept
    th_order order;
    int64_t  position;         // global position of the first batch's first sample: samples_seen
    int64_t  batch;            // global batch B
    int      rank, world_size; // this rank takes th_slice_first(B, world_size, rank) ..
    // K captions a sample, drawn without replacement by (seed, epoch, record); a record with fewer
    // gives all of its own in a drawn order, round and round. 0: all of them, in stored order.
    int64_t captions;
    int64_t size; // pixels a side of a cropped picture, <= the pack's size
    // RandomResizedCrop of the stored picture (torchvision's rule, ratio 3/4 .. 4/3). Else the
    // central square of the pack's size (a margin is cut off), resized when `size` is smaller.
    bool   random_crop;
    double crop_scale[2]; // area range, open_clip: 0.9 .. 1.0
    // Random crops of a record. 0: a new one each epoch. K: its views 0 .. K - 1, of which an epoch
    // draws one by (seed, epoch, record); view v is the crop that epoch v has without views, so
    // that the first ones are the same for every K.
    int64_t views;
    bool    views_in_turn; // instead of drawing, epoch e takes view e modulo K: K epochs see all
    // A picture whose row is there is not decoded. get NULL: all are. A record that is damaged is
    // replaced all the same, as all but its picture is read; a row stands for a picture that was
    // decoded once. Not with a new crop each epoch.
    th_row_source rows;
    int64_t       context; // tokens, with those that stand around a caption
    int           threads; // reading threads, >= 1
    int           ahead;   // batches prepared ahead, >= 1
    // Of the pack's records; when this rank has met more damaged ones the run stops (TH_EDATA), at
    // the same batch whatever the threads have read ahead. 0: at the first.
    double bad_share;
} th_loader_options;

typedef struct {
    int64_t        position; // of this rank's first sample
    int64_t        n;        // samples of this rank
    const uint8_t *pixels;   // [n, size, size, 3] RGB, of samples without a row
    const int32_t *tokens;   // captions back to back, each begin .. end, cut to context with
                             // the end last
    const int64_t *offsets;  // [n * K + 1]: caption k of sample i is i * K + k. When captions is 0:
                             // [caption_count + 1]
    int64_t         caption_count;
    const int64_t  *sample_of; // [caption_count] index into this batch's samples
    const int64_t  *records;   // [n] record numbers, after replacement
    const uint32_t *views;     // [n] which view of its record; 0 where there are none
    const void     *rows;      // [n, row_bytes] of samples with a row; NULL without a source
    const bool     *has_row;   // [n]; NULL without a source
} th_batch;

typedef struct th_loader th_loader;

/* Bytes that an open loader holds, of captions with so many tokens on average. Looks at batch,
 * world_size, rank, captions, size, rows.row_bytes, threads and ahead. Local. */
size_t th_loader_bytes(const th_loader_options *options, double tokens);

/* Errors: TH_EUSAGE (options that do not fit each other or the pack), TH_EIO. */
TH_MUST_CHECK th_code th_loader_open(const th_loader_options *options, th_loader **out,
                                     th_err *err);
void                  th_loader_close(th_loader *loader); // accepts NULL; joins its threads

/* The next batch, valid until the call after next returns (two batches are held), or until close.
 * *out_waited (may be NULL) is the seconds that the caller had to wait. Errors: TH_EDATA (too many
 * damaged records), TH_EIO; asked again, the answer is the same. One caller at a time. */
TH_MUST_CHECK th_code th_loader_next(th_loader *loader, const th_batch **out, double *out_waited,
                                     th_err *err);

/* Distinct damaged records in the batches given out so far. Any thread. */
int64_t th_loader_damaged(const th_loader *loader);

#endif
