#include "dataloader/image/prepare.h"

#include "dataloader/image/orientation.h"

#include <math.h>
#include <string.h>

#define MOST_PIXELS_A_SIDE (1 << 30) // of the resized picture before its centre is cut out

th_code th_preparation_find(const char *alpha, const char *exif, const char *filter, int64_t side,
                            th_preparation *out, th_err *err)
{
    th_preparation how = { .upright = strcmp(exif, "apply") == 0, .side = (int)side };
    th_code        rc = TH_OK;

    TH_TRY(th_alpha_find(alpha, &how.alpha, err));
    TH_TRY(th_filter_find(filter, &how.filter, err));
    *out = how;
out:
    return rc;
}

// The side of the resized picture when the other side, `shorter` before, becomes `side`: rounded
// down, as torchvision's Resize does.
static int64_t longer_side(int64_t longer, int64_t shorter, int64_t side)
{
    return longer * side / shorter;
}

// Resize and CenterCrop. The part's place is rounded to even at one half, as Python does.
static th_code make_square(const th_image *in, th_filter filter, int side, th_image *out,
                           th_err *err)
{
    int64_t width = side, height = side;
    th_code rc = TH_OK;

    if (in->width > in->height)
        width = longer_side(in->width, in->height, side);
    else
        height = longer_side(in->height, in->width, side);
    TH_CHECK(width <= MOST_PIXELS_A_SIDE && height <= MOST_PIXELS_A_SIDE, TH_EDATA,
             "cut it to a part that shows something", "picture too narrow: %d x %d pixels",
             in->width, in->height);
    int part[4] = { (int)nearbyint((double)(width - side) / 2),
                    (int)nearbyint((double)(height - side) / 2), side, side };
    TH_TRY(th_image_resize_part(in, filter, (double[]){ 0, 0, in->width, in->height }, (int)width,
                                (int)height, part, out, err));
out:
    return rc;
}

th_code th_image_prepare(const void *bytes, size_t size, const th_preparation *how,
                         th_image *decoded, th_image *out, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_image_decode(bytes, size, how->alpha, decoded, err));
    if (how->upright)
        TH_TRY(th_orientation_apply(th_orientation_find(bytes, size), decoded, err));
    TH_TRY(make_square(decoded, how->filter, how->side, out, err));
out:
    return rc;
}
