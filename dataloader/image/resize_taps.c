// Which pixels an output uses, and their weights: those of Pillow, bit for bit.
//
// Output x looks at the input around its centre (x + 0.5) * scale through a cubic (Keys 1981,
// a = -0.5), a triangle or a box that is stretched by the scale when the picture shrinks: that is
// the antialiasing. Weights are normalised in double and rounded to 22 fractional bits, which
// leaves 8 bits for the value and 2 for sign and overshoot in an int32_t.
#include "dataloader/image/resize_private.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>

// Pillow rounds every product: a fused multiply-add would give other weights now and then.
#ifdef __clang__
#pragma clang fp contract(off)
#define UNFUSED
#else
#define UNFUSED __attribute__((optimize("fp-contract=off")))
#endif

void th_taps_close(th_taps *taps)
{
    free(taps->first);
    free(taps->end);
    free(taps->weights);
    *taps = (th_taps){ 0 };
}

UNFUSED static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

// The filter is zero from here on.
static double support_of(th_filter filter)
{
    return filter == TH_FILTER_BICUBIC ? 2.0 : filter == TH_FILTER_BILINEAR ? 1.0 : 0.5;
}

UNFUSED static double value_at(th_filter filter, double x)
{
    if (filter == TH_FILTER_BICUBIC)
        return cubic(x);
    if (filter == TH_FILTER_BOX)
        return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; // a pixel on the border belongs to one of the two
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

// taps->first, end and pairs.
UNFUSED static void find_taps(th_taps *taps, double reach, int inputs, float low, double scale,
                              int first)
{
    double support = reach * (scale < 1.0 ? 1.0 : scale);
    int    most = 0;

    for (int i = 0; i < taps->count; i++) {
        double centre = low + (first + i + 0.5) * scale;
        int    from = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        taps->first[i] = from < 0 ? 0 : from;
        taps->end[i] = end > inputs ? inputs : end;
        int used = taps->end[i] - taps->first[i];
        most = used > most ? used : most;
    }
    taps->pairs = (most + 1) / 2;
}

static void set_weight(th_tap_pair *pair, int which, int32_t weight)
{
    pair->low[which] = (int16_t)weight; // modulo 2^16
    pair->high[which] = (int16_t)((weight - pair->low[which]) >> 16);
}

// The weights of these pixels; `row` is scratch for those of an output.
UNFUSED static void fill_weights(th_taps *taps, th_filter filter, float low, double scale,
                                 int first, double *row)
{
    double shrink = 1.0 / (scale < 1.0 ? 1.0 : scale);

    for (int i = 0; i < taps->count; i++) {
        double       centre = low + (first + i + 0.5) * scale, sum = 0.0;
        th_tap_pair *weights = taps->weights + (size_t)i * (size_t)taps->pairs;
        int          used = taps->end[i] - taps->first[i];
        for (int j = 0; j < used; j++) {
            row[j] = value_at(filter, (taps->first[i] + j - centre + 0.5) * shrink);
            sum += row[j];
        }
        for (int j = 0; j < used; j++) {
            double weight = (sum != 0.0 ? row[j] / sum : row[j]) * (1 << TH_FRACTION_BITS);
            set_weight(&weights[j / 2], j % 2, (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5));
        }
    }
}

th_code th_taps_open(th_taps *taps, th_filter filter, int inputs, float low, float high,
                     int outputs, int first, int count, th_err *err)
{
    th_code rc = TH_OK;
    double  scale = (double)(high - low) / outputs;
    void   *memory = NULL;
    double *row = NULL;

    *taps = (th_taps){ .count = count };
    TH_TRY(th_alloc((size_t)count, sizeof *taps->first, "a resize filter", &memory, err));
    taps->first = memory;
    TH_TRY(th_alloc((size_t)count, sizeof *taps->end, "a resize filter", &memory, err));
    taps->end = memory;
    find_taps(taps, support_of(filter), inputs, low, scale, first);
    TH_TRY(th_alloc((size_t)count * (size_t)taps->pairs, sizeof *taps->weights, "a resize filter",
                    &memory, err));
    taps->weights = memory;
    TH_TRY(th_alloc((size_t)taps->pairs * 2, sizeof *row, "a resize filter", &memory, err));
    row = memory;
    fill_weights(taps, filter, low, scale, first, row);
out:
    free(row);
    return rc;
}
