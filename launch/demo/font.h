/* launch/demo/font.h - the pictures inside an emoji font: PNGs in its CBDT table, found by code
 * point.
 *
 * Reads what fonts-noto-color-emoji uses: cmap format 12, CBLC index formats 1 and 3, CBDT image
 * formats 17, 18 and 19 (OpenType 1.9, "cmap", "CBLC", "CBDT"). Every offset and count is checked
 * against the file before it is followed. */
#ifndef TH_LAUNCH_DEMO_FONT_H
#define TH_LAUNCH_DEMO_FONT_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t             code; // the Unicode code point
    const unsigned char *png;  // inside the font
    size_t               size;
} th_picture;

typedef struct {
    char       *bytes;
    th_picture *pictures; // [count], by code point, one each
    size_t      count;
} th_font;

/* Errors: TH_EIO when it cannot be read, TH_EDATA when it is no such font or is damaged. */
TH_MUST_CHECK th_code th_font_open(const char *path, th_font *font, th_err *err);
void                  th_font_close(th_font *font); // accepts a zeroed one

#endif
