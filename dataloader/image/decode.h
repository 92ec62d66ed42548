/* dataloader/image/decode.h - what the three decoders and image.c share; nobody else includes it.
 */
#ifndef TH_DATALOADER_IMAGE_DECODE_H
#define TH_DATALOADER_IMAGE_DECODE_H

#include "dataloader/image/image.h"

/* image->pixels holds at least `bytes` afterwards; width, height and pixels are undefined until
 * set. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_image_reserve(th_image *image, size_t bytes, th_err *err);

/* Checks a header before memory is taken: at least one pixel, at most TH_IMAGE_PIXELS, and not more
 * pixels than `size` bytes of this format can hold (`pixels_per_byte`; 0: no such limit), so that
 * a few bytes cannot claim hundreds of megabytes. Errors: TH_EDATA. */
TH_MUST_CHECK th_code th_decode_check(const char *format, uint64_t width, uint64_t height,
                                      size_t size, uint64_t pixels_per_byte, th_err *err);

#define TH_DEFLATE_RATIO 1032 // deflate never packs tighter

/* One format each. The bytes begin with that format's signature. Errors: TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_decode_jpeg(const void *bytes, size_t size, th_image *out, th_err *err);
TH_MUST_CHECK th_code th_decode_png(const void *bytes, size_t size, th_alpha alpha, th_image *out,
                                    th_err *err);
TH_MUST_CHECK th_code th_decode_webp(const void *bytes, size_t size, th_alpha alpha, th_image *out,
                                     th_err *err);

/* Turns the RGBA pixels of a decoded picture into RGB on white, in place, rounded to nearest. */
void th_decode_on_white(th_image *image);

/* a * b / 255, rounded to nearest; exact for a, b in 0 .. 255. */
static inline unsigned th_scale_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

extern const char th_decode_fix[]; // what the reader can do about a picture that cannot be decoded

#endif
