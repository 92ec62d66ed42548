/* launch/sheet.h - pictures on one sheet, as a PNG file. */
#ifndef TH_LAUNCH_SHEET_H
#define TH_LAUNCH_SHEET_H

#include "dataloader/image/image.h"

/* Writes `count` pictures (borrowed; width 0: a place left white), `columns` a row. Cells are as
 * large as the largest picture, 256 pixels at most. Errors: TH_EUSAGE (too many), TH_EIO. */
TH_MUST_CHECK th_code th_sheet_write(const char *path, const th_image *pictures, int count,
                                     int columns, th_err *err);

#endif
