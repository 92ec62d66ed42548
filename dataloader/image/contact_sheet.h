/* dataloader/image/contact_sheet.h - many pictures on one sheet, to look at. */
#ifndef TH_DATALOADER_IMAGE_CONTACT_SHEET_H
#define TH_DATALOADER_IMAGE_CONTACT_SHEET_H

#include "dataloader/image/image.h"

/* A white sheet of `columns` pictures a row, in order, each within a cell of side x side pixels: a
 * larger one is scaled down to fit, a smaller one keeps its size; centred, `gap` pixels around each
 * cell. Row y, column x holds pictures[y * columns + x]; one without pixels (width 0) leaves its
 * cell white. Errors: TH_EUSAGE when the sheet would have more than TH_IMAGE_PIXELS, TH_EIO. */
TH_MUST_CHECK th_code th_contact_sheet(const th_image *pictures, int count, int columns, int side,
                                       int gap, th_image *out, th_err *err);

#endif
