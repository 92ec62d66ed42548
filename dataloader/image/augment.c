#include "dataloader/image/image.h"

#include <math.h>

#define TRIES 10

// A box of about `area` pixels and this ratio, as near as whole pixels allow.
static void box_sides(double area, double ratio, int *out_width, int *out_height)
{
    // Rounded to even at one half, as Python's round() does: torchvision draws the same boxes.
    *out_width = (int)nearbyint(sqrt(area * ratio));
    *out_height = (int)nearbyint(sqrt(area / ratio));
}

// The largest central box whose ratio is within limits.
static void central_box(int width, int height, const double ratio[2], int out_box[4])
{
    double own = (double)width / height;
    int    w = width, h = height;

    if (own < ratio[0])
        h = (int)nearbyint(w / ratio[0]);
    else if (own > ratio[1])
        w = (int)nearbyint(h * ratio[1]);
    out_box[0] = (width - w) / 2;
    out_box[1] = (height - h) / 2;
    out_box[2] = w < 1 ? 1 : w;
    out_box[3] = h < 1 ? 1 : h;
}

void th_image_random_box(int width, int height, const double scale[2], const double ratio[2],
                         double (*uniform)(void *context), void *context, int out_box[4])
{
    double log_low = log(ratio[0]), log_high = log(ratio[1]);
    double pixels = (double)width * height;

    for (int i = 0; i < TRIES; i++) {
        double area = pixels * (scale[0] + (scale[1] - scale[0]) * uniform(context));
        double aspect = exp(log_low + (log_high - log_low) * uniform(context));
        int    w, h;
        box_sides(area, aspect, &w, &h);
        if (w > 0 && w <= width && h > 0 && h <= height) {
            out_box[0] = (int)(uniform(context) * (width - w + 1));
            out_box[1] = (int)(uniform(context) * (height - h + 1));
            out_box[2] = w;
            out_box[3] = h;
            return;
        }
    }
    central_box(width, height, ratio, out_box);
}
