/* dataloader/packer_sample.h - one sample of a source judged, and made into a record. */
#ifndef TH_DATALOADER_PACKER_SAMPLE_H
#define TH_DATALOADER_PACKER_SAMPLE_H

#include "dataloader/image/image.h"
#include "dataloader/packer.h"
#include "dataloader/source/source.h"

typedef struct { // one thread's own
    th_image   decoded, square;
    th_caption captions[TH_RECORD_CAPTIONS];
} th_sample_maker;

void th_sample_maker_close(th_sample_maker *maker);

/* Checks the item's captions, decodes its picture, makes it a square of size + margin, encodes it,
 * and writes a record without tokens: *out, free()d by the caller. When the sample is refused *out
 * is NULL and item->reason says why. Errors: TH_EIO. Any thread, each with a maker of its own. */
TH_MUST_CHECK th_code th_sample_make(th_sample_maker *maker, const th_pack_options *options,
                                     th_item *item, unsigned char **out, size_t *out_size,
                                     th_err *err);

/* The codec of that name. Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_codec_find(const char *name, th_codec *out, th_err *err);

#endif
