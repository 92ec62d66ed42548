/* dataloader/image/resize_private.h - what the two passes of a resize are made of.
 *
 * Rows are resized first, a few at once, and rounded to 8 bits; then columns, a row of output at a
 * time. A weight has 22 fractional bits, sums are taken modulo 2^32 in any order and fit. So all
 * kernels give the same bits. */
#ifndef TH_DATALOADER_IMAGE_RESIZE_PRIVATE_H
#define TH_DATALOADER_IMAGE_RESIZE_PRIVATE_H

#include "dataloader/image/image.h"

#define TH_FRACTION_BITS  22
#define TH_FRACTION_HALF  (1 << (TH_FRACTION_BITS - 1))
#define TH_ROWS_AT_ONCE   4
#define TH_RESIZE_BLOCK   32 // bytes of resized rows that are read at once
#define TH_RESIZE_READING 16 // bytes that are read at a pair of pixels

/* The weights of two neighbours in halves, weight = high * 65536 + low: processors multiply 16 bits
 * by 16 and add two products in one step, and 8-bit values times either half are exact. */
typedef struct {
    int16_t low[2], high[2];
} th_tap_pair;

typedef struct {
    int          count;   // outputs
    int          pairs;   // of input pixels used by each; some weights at the end are zero
    int         *first;   // [count] first input pixel, never falling
    int         *end;     // [count] first input pixel behind those whose weights are not zero
    th_tap_pair *weights; // [count, pairs]
} th_taps;

/* The taps of the outputs first .. first + count of `outputs` that stand for low .. high of the
 * `inputs`. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_taps_open(th_taps *taps, th_filter filter, int inputs, float low,
                                   float high, int outputs, int first, int count, th_err *err);
void                  th_taps_close(th_taps *taps); // accepts a zeroed one

typedef struct {
    /* columns->count pixels of each of four rows, 3 bytes a pixel; `from` begins with the pixel
     * columns->first[0]. TH_RESIZE_READING bytes are read at any pair, also behind the row's end
     * where weights are zero; of a row of output a byte more is written than it has. */
    void (*rows)(const th_taps *columns, const uint8_t *const from[TH_ROWS_AT_ONCE],
                 uint8_t *const to[TH_ROWS_AT_ONCE]);
    /* `bytes` values, each from the values below each other in 2 * pairs rows, of which whole
     * blocks are read. */
    void (*column)(const th_tap_pair *weights, int pairs, const uint8_t *const *rows, size_t bytes,
                   uint8_t *to);
} th_resize_kernels;

extern const th_resize_kernels th_resize_plain;
#if defined(__x86_64__)
extern const th_resize_kernels th_resize_avx2; // only where the processor has it
#endif

/* th_image_resize_part by the given kernels, of boxes that are not only a crop. */
TH_MUST_CHECK th_code th_image_resize_with(const th_resize_kernels *kernels, const th_image *in,
                                           th_filter filter, const double box[4], int width,
                                           int height, const int part[4], th_image *out,
                                           th_err *err);

#endif
