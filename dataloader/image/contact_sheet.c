#include "dataloader/image/contact_sheet.h"

#include <assert.h>
#include <string.h>

// The picture at the size in which it fits into the cell: itself, or scaled down in *scaled.
static th_code fit(const th_image *picture, int side, th_image *scaled, const th_image **out,
                   th_err *err)
{
    th_code rc = TH_OK;
    int     longer = picture->width > picture->height ? picture->width : picture->height;

    *out = picture;
    if (longer <= side)
        return TH_OK;
    int width = (int)((int64_t)picture->width * side / longer);
    int height = (int)((int64_t)picture->height * side / longer);
    TH_TRY(th_image_resize(picture, TH_FILTER_BICUBIC, 0, 0, picture->width, picture->height,
                           width > 0 ? width : 1, height > 0 ? height : 1, scaled, err));
    *out = scaled;
out:
    return rc;
}

static void paste(const th_image *picture, int left, int top, th_image *sheet)
{
    size_t row = (size_t)picture->width * 3;

    for (int y = 0; y < picture->height; y++)
        memcpy(sheet->pixels + ((size_t)(top + y) * (size_t)sheet->width + (size_t)left) * 3,
               picture->pixels + (size_t)y * row, row);
}

th_code th_contact_sheet(const th_image *pictures, int count, int columns, int side, int gap,
                         th_image *out, th_err *err)
{
    th_code  rc = TH_OK;
    th_image scaled = { 0 };

    assert(count > 0 && columns > 0 && side > 0 && gap >= 0);
    columns = columns < count ? columns : count;
    int64_t rows = ((int64_t)count + columns - 1) / columns, step = (int64_t)side + gap;
    int64_t width = columns * step + gap, height = rows * step + gap;
    TH_CHECK(width <= TH_IMAGE_PIXELS && height <= TH_IMAGE_PIXELS / width, TH_EUSAGE,
             "use fewer or smaller pictures",
             "a sheet of %d pictures of %d pixels would have more than %d pixels", count, side,
             TH_IMAGE_PIXELS);
    TH_TRY(th_image_shape(out, (int)width, (int)height, err));
    memset(out->pixels, 255, (size_t)width * (size_t)height * 3);
    for (int i = 0; i < count; i++) {
        const th_image *picture;
        if (pictures[i].width == 0)
            continue;
        TH_TRY(fit(&pictures[i], side, &scaled, &picture, err));
        paste(picture, (int)(i % columns * step) + gap + (side - picture->width) / 2,
              (int)(i / columns * step) + gap + (side - picture->height) / 2, out);
    }
out:
    th_image_free(&scaled);
    return rc;
}
