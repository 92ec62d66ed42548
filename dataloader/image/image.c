#include "dataloader/image/image.h"

#include "base/memory.h"
#include "dataloader/image/decode.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

void th_image_free(th_image *image)
{
    free(image->pixels);
    *image = (th_image){ 0 };
}

th_code th_image_reserve(th_image *image, size_t bytes, th_err *err)
{
    th_code rc = TH_OK;
    void   *pixels;

    if (bytes <= image->room)
        return TH_OK;
    th_image_free(image); // before the larger one is taken: a picture can be hundreds of megabytes
    TH_TRY(th_alloc(bytes, 1, "a picture", &pixels, err));
    *image = (th_image){ .pixels = pixels, .room = bytes };
out:
    return rc;
}

th_code th_image_shape(th_image *image, int width, int height, th_err *err)
{
    th_code rc = TH_OK;

    assert(width > 0 && height > 0);
    TH_TRY(th_image_reserve(image, (size_t)width * (size_t)height * 3, err));
    image->width = width;
    image->height = height;
out:
    return rc;
}

th_code th_image_crop(const th_image *in, int left, int top, int width, int height, th_image *out,
                      th_err *err)
{
    th_code rc = TH_OK;
    size_t  row = (size_t)width * 3;

    assert(in != out && left >= 0 && top >= 0 && left + width <= in->width &&
           top + height <= in->height);
    TH_TRY(th_image_shape(out, width, height, err));
    for (int y = 0; y < height; y++)
        memcpy(out->pixels + (size_t)y * row,
               in->pixels + ((size_t)(top + y) * (size_t)in->width + (size_t)left) * 3, row);
out:
    return rc;
}
