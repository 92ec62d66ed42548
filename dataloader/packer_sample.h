/* dataloader/packer_sample.h - one sample of a source judged, and made into a record. */
#ifndef TH_DATALOADER_PACKER_SAMPLE_H
#define TH_DATALOADER_PACKER_SAMPLE_H

#include "dataloader/image/image.h"
#include "dataloader/packer.h"
#include "dataloader/source/source.h"

typedef enum { TH_PART_TRAIN, TH_PART_VAL, TH_PARTS } th_part;

/* Which of the two packs a sample belongs to: a draw keyed by its key alone. Any thread. */
th_part th_sample_part(const th_pack_options *options, const char *key);

/* The captions of an item, pointing into its text: spaces at both ends dropped, blank ones left
 * out. `out` has room for TH_RECORD_CAPTIONS. Returns their number; what is wrong with them, none
 * at all for instance, becomes the item's reason, and nothing is done when it has one. */
int th_sample_captions(const th_pack_options *options, th_item *item, th_caption *out);

typedef struct { // one thread's own
    th_image        decoded, square;
    th_caption      captions[TH_RECORD_CAPTIONS];
    th_token_cache *cache;
    int32_t        *tokens; // of all captions, back to back
    size_t          token_room;
} th_sample_maker;

TH_MUST_CHECK th_code th_sample_maker_open(th_sample_maker *out, th_err *err);
void                  th_sample_maker_close(th_sample_maker *maker); // accepts a zeroed one

typedef struct {                                // its memory is used again
    bool           made;                        // false: refused
    unsigned char *record;                      // free() it at the end
    size_t         size, room;                  // bytes of the record, and at `record`
    int            width, height;               // of the picture as decoded
    int            caption_count;               // and tokens of each caption
    uint16_t       lengths[TH_RECORD_CAPTIONS]; // without start and end, TH_RECORD_TOKENS at most
} th_made_sample;

/* Checks the item's captions, decodes its picture, makes it a square of size + margin, encodes it,
 * tokenizes, and writes the record. When the sample is refused out->made is false and
 * item->reason says why. Errors: TH_EIO. Any thread, each with a maker of its own. */
TH_MUST_CHECK th_code th_sample_make(th_sample_maker *maker, const th_pack_options *options,
                                     const th_tokenizer *tokenizer, th_item *item,
                                     th_made_sample *out, th_err *err);

/* The codec of that name. Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_codec_find(const char *name, th_codec *out, th_err *err);

#endif
