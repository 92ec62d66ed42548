/* dataloader/image/image.h - pictures: 8-bit RGB, rows top to bottom, no padding. */
#ifndef TH_DATALOADER_IMAGE_IMAGE_H
#define TH_DATALOADER_IMAGE_IMAGE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int      width, height;
    uint8_t *pixels; // [height, width, 3]; th_image_free
    size_t   room;   // bytes at pixels, so that a thread can use one buffer again
} th_image;

void th_image_free(th_image *image); // accepts a zeroed image

/* image->pixels has room for width x height afterwards. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_image_shape(th_image *image, int width, int height, th_err *err);

#define TH_IMAGE_PIXELS                                                                            \
    (100 << 20) // most pixels decoded: a larger header is refused before memory is taken

/* What becomes of a picture with alpha: composited on white, rounded to nearest; or the colours as
 * they stand under it, as Pillow's convert("RGB") leaves them. */
typedef enum { TH_ALPHA_WHITE = 0, TH_ALPHA_DROP = 1 } th_alpha;

/* Decodes JPEG, PNG or WebP, told apart by content and not by name, to 8-bit RGB before anything
 * else is done with the pixels: the colours are those of Pillow's convert("RGB"), except for alpha
 * (as `alpha` says) and for grey of 16 bits (as docs/packs.md says). Errors: TH_EDATA: not a
 * picture, truncated, too large. */
TH_MUST_CHECK th_code th_image_decode(const void *bytes, size_t size, th_alpha alpha, th_image *out,
                                      th_err *err);

/* "white" or "drop". Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_alpha_find(const char *name, th_alpha *out, th_err *err);

/* Pillow's antialiased filters: the cubic with a = -0.5, the triangle, the box. */
typedef enum { TH_FILTER_BICUBIC = 0, TH_FILTER_BILINEAR = 1, TH_FILTER_BOX = 2 } th_filter;

/* "bicubic", "bilinear" or "box". Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_filter_find(const char *name, th_filter *out, th_err *err);

/* Pillow's resize, bit for bit for 8-bit RGB; box given in source pixels (may be fractional,
 * rounded to float as Pillow does). The caller keeps the box inside and not empty. Errors: TH_EIO.
 */
TH_MUST_CHECK th_code th_image_resize(const th_image *in, th_filter filter, double left, double top,
                                      double right, double bottom, int width, int height,
                                      th_image *out, th_err *err);

/* The same bits as th_image_resize of the box {left, top, right, bottom} to width x height followed
 * by th_image_crop to the part {left, top, width, height}, but only the part is computed. */
TH_MUST_CHECK th_code th_image_resize_part(const th_image *in, th_filter filter,
                                           const double box[4], int width, int height,
                                           const int part[4], th_image *out, th_err *err);

/* A rectangle, copied. The caller keeps it inside. */
TH_MUST_CHECK th_code th_image_crop(const th_image *in, int left, int top, int width, int height,
                                    th_image *out, th_err *err);

/* JPEG at a quality of 1 to 100; *out is free()d by the caller. */
TH_MUST_CHECK th_code th_image_encode_jpeg(const th_image *in, int quality, uint8_t **out,
                                           size_t *out_size, th_err *err);
TH_MUST_CHECK th_code th_image_encode_png(const th_image *in, uint8_t **out, size_t *out_size,
                                          th_err *err);

/* The stored picture of a record (raw, zlib or jpeg) as pixels; checks that sizes agree. */
struct th_stored_picture {
    int         codec, width, height; // th_codec
    const void *bytes;
    size_t      size;
};
TH_MUST_CHECK th_code th_image_restore(const struct th_stored_picture *stored, th_image *out,
                                       th_err *err);

/* RandomResizedCrop's box for this draw, torchvision's rule (ten tries, then the centre); `uniform`
 * gives draws in [0, 1). out_box is left, top, width, height. */
void th_image_random_box(int width, int height, const double scale[2], const double ratio[2],
                         double (*uniform)(void *context), void *context, int out_box[4]);

#endif
