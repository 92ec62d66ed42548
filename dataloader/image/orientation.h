/* dataloader/image/orientation.h - which way up a camera held a picture.
 *
 * Exif 2.32 (CIPA DC-008), 4.6.4 A: tag 0x0112 of IFD 0, where the stored first row and column are
 * in the scene: 1 top left (as stored), 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6
 * right top, 7 right bottom, 8 left bottom. Found in a JPEG's APP1 segment, a PNG's eXIf chunk
 * (PNG 1.5 extensions) and a WebP's EXIF chunk (RIFF container). XMP may say the same and is not
 * read. */
#ifndef TH_DATALOADER_IMAGE_ORIENTATION_H
#define TH_DATALOADER_IMAGE_ORIENTATION_H

#include "dataloader/image/image.h"

/* 1 to 8; 1 also when the file says nothing, or something that cannot be read: the picture is good
 * without. Reads nothing outside of `bytes`. Any thread. */
int th_orientation_find(const void *bytes, size_t size);

/* Turns and mirrors the picture in place, so that its first row is the scene's top: what Pillow's
 * ImageOps.exif_transpose does. Width and height change places for 5 to 8. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_orientation_apply(int orientation, th_image *image, th_err *err);

#endif
