/* dataloader/image/prepare.h - the bytes of a picture's file as the square that is kept of it.
 *
 * Decoded, turned if asked, resized so that its short side is `side` (smaller ones are enlarged),
 * and a square cut from the centre: the bits of torchvision's Resize and CenterCrop, as open_clip
 * prepares pictures. The packer and whoever shows a model a picture that is in no pack do the same
 * here. */
#ifndef TH_DATALOADER_IMAGE_PREPARE_H
#define TH_DATALOADER_IMAGE_PREPARE_H

#include "dataloader/image/image.h"

typedef struct {
    th_alpha  alpha;
    th_filter filter;
    _Bool     upright; // the orientation that a camera noted is applied
    int       side;    // of the square
} th_preparation;

/* From their names: "white"; "ignore" or "apply"; "bicubic". Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_preparation_find(const char *alpha, const char *exif, const char *filter,
                                          int64_t side, th_preparation *out, th_err *err);

/* `decoded` is room to work in, used again. Errors: TH_EDATA: this is no picture that can be kept,
 * "what it is: details" as in th_image_decode; TH_EIO. Any thread, each with images of its own. */
TH_MUST_CHECK th_code th_image_prepare(const void *bytes, size_t size, const th_preparation *how,
                                       th_image *decoded, th_image *out, th_err *err);

#endif
