#include "launch/sheet.h"

#include "base/file.h"
#include "dataloader/image/contact_sheet.h"

#include <stdlib.h>

#define LARGEST_CELL 256 // pixels a side
#define GAP          4   // around each

th_code th_sheet_write(const char *path, const th_image *pictures, int count, int columns,
                       th_err *err)
{
    th_image sheet = { 0 };
    uint8_t *png = NULL;
    size_t   size;
    int      side = 1;
    th_code  rc = TH_OK;

    for (int i = 0; i < count; i++) {
        side = pictures[i].width > side ? pictures[i].width : side;
        side = pictures[i].height > side ? pictures[i].height : side;
    }
    TH_TRY(th_contact_sheet(pictures, count, columns, side < LARGEST_CELL ? side : LARGEST_CELL,
                            GAP, &sheet, err));
    TH_TRY(th_image_encode_png(&sheet, &png, &size, err));
    TH_TRY(th_file_replace(path, png, size, err));
out:
    free(png);
    th_image_free(&sheet);
    return rc;
}
