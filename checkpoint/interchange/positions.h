/* checkpoint/interchange/positions.h - positional embeddings for another picture size. */
#ifndef TH_CHECKPOINT_INTERCHANGE_POSITIONS_H
#define TH_CHECKPOINT_INTERCHANGE_POSITIONS_H

#include "base/error.h"
#include <stdint.h>

/* Resizes a square grid of embeddings by bicubic interpolation, with the class token's taken over:
 *
 *   from   [1 + from_side * from_side, width]    the class token, then the grid row by row
 *   to     [1 + to_side * to_side, width]
 *
 * Pixel centres lie at halves (align_corners false), the kernel is Keys' with a = -0.5, widened by
 * the scale when the grid shrinks (antialias), and what reaches over the border is left out, the
 * rest scaled to a sum of 1. A grid of the same side is copied bit for bit. Keys 1981, "Cubic
 * convolution interpolation for digital image processing". This is what open_clip's
 * resize_pos_embed asks of torch: F.interpolate(mode="bicubic", antialias=True). Errors: TH_EIO
 * (memory). Any thread. */
TH_MUST_CHECK th_code th_positions_resize(const float *from, int64_t from_side, float *to,
                                          int64_t to_side, int64_t width, th_err *err);

#endif
