/* trainer/nn/patch.h - from pixels to the rows that the patch embedding multiplies.
 *
 * A convolution whose stride is its size is a matrix product over patches: row = the pixels of one
 * patch in the order of conv1.weight, [channel, y, x], as (pixel / 255 - mean) / deviation.
 * Calls: Local; any thread. */
#ifndef TH_TRAINER_NN_PATCH_H
#define TH_TRAINER_NN_PATCH_H

#include "trainer/nn/real.h"

typedef struct {
    int64_t size, patch;   // pixels a side of the image and of a patch
    th_real value[3][256]; // what each byte becomes, by channel
} th_patches;

void th_patches_init(th_patches *patches, int64_t size, int64_t patch, const float mean[3],
                     const float deviation[3]);

/* rows [count, 3 patch patch]: patches first .. first + count - 1 of pixels [n, size, size, 3],
 * counted row by row through all images. */
void th_patch_rows(const th_patches *patches, const uint8_t *pixels, int64_t first, int64_t count,
                   th_real *rows);

#endif
