// Antialiased resize with the same bits as Pillow's for 8-bit RGB, so that a model sees the
// pictures that open_clip's preprocessing would have shown it.
//
// Output pixel x looks at the input around its centre (x + 0.5) * scale through a cubic (Keys 1981,
// a = -0.5), a triangle or a box that is stretched by the scale when the picture shrinks: that is
// the antialiasing. Its weights are normalised in double and rounded to 22 fractional bits, which
// leaves 8 bits for the value and 2 for sign and overshoot in an int32_t. Rows are resized first,
// then columns; between the passes values are rounded to 8 bits. Integer sums have no order, so any
// vector width gives the same bits.
//
// Rows are widened to four 32-bit lanes a pixel (the last is not used), so that one vector holds
// two neighbours; between the passes values stand in 16 bits (GCC 12 widens single bytes one by
// one).
#include "dataloader/image/image.h"

#include "base/memory.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION_BITS 22
#define HALF          (1 << (FRACTION_BITS - 1))

// ifunc resolvers run before the sanitizer's start-up, so a sanitized build keeps one version.
#if defined(__x86_64__) && !defined(TH_SANITIZE)
#define VERSIONS __attribute__((target_clones("avx2", "default")))
#else
#define VERSIONS
#endif
// Pillow rounds every product: a fused multiply-add would give other weights now and then.
#ifdef __clang__
#pragma clang fp contract(off)
#define UNFUSED
#else
#define UNFUSED __attribute__((optimize("fp-contract=off")))
#endif

typedef int32_t lanes __attribute__((vector_size(32)));
typedef int16_t halves __attribute__((vector_size(16)));

typedef struct {
    int      count;   // outputs
    int      taps;    // input pixels used by each, an even number; some weights at the end are zero
    int     *first;   // [count] first input pixel
    int     *end;     // [count] first input pixel behind those whose weights are not zero
    int32_t *weights; // [count, taps]
} tap_table;

static void table_free(tap_table *f)
{
    free(f->first);
    free(f->end);
    free(f->weights);
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

// Which of the `inputs` pixels the outputs first .. first + f->count of `outputs` use, when these
// cover low .. high: f->first, f->end and f->taps.
UNFUSED static void find_taps(tap_table *f, double reach, int inputs, float low, double scale,
                              int first)
{
    double support = reach * (scale < 1.0 ? 1.0 : scale);

    for (int i = 0; i < f->count; i++) {
        double centre = low + (first + i + 0.5) * scale;
        int    from = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        f->first[i] = from < 0 ? 0 : from;
        f->end[i] = end > inputs ? inputs : end;
        int taps = f->end[i] - f->first[i];
        f->taps = taps > f->taps ? taps : f->taps;
    }
    f->taps = (f->taps + 1) & ~1;
}

// The weights of these pixels; `row` is scratch for f->taps of them.
UNFUSED static void fill_weights(tap_table *f, th_filter filter, float low, double scale, int first,
                                 double *row)
{
    double shrink = 1.0 / (scale < 1.0 ? 1.0 : scale);

    for (int i = 0; i < f->count; i++) {
        double   centre = low + (first + i + 0.5) * scale, sum = 0.0;
        int32_t *weights = f->weights + (size_t)i * (size_t)f->taps;
        int      taps = f->end[i] - f->first[i];
        for (int j = 0; j < taps; j++) {
            row[j] = value_at(filter, (f->first[i] + j - centre + 0.5) * shrink);
            sum += row[j];
        }
        for (int j = 0; j < taps; j++) {
            double weight = (sum != 0.0 ? row[j] / sum : row[j]) * (1 << FRACTION_BITS);
            weights[j] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
}

static th_code table_open(tap_table *f, th_filter filter, int inputs, float low, float high,
                          int outputs, int first, int count, th_err *err)
{
    th_code rc = TH_OK;
    double  scale = (double)(high - low) / outputs;
    void   *memory = NULL;
    double *row = NULL;

    *f = (tap_table){ .count = count };
    TH_TRY(th_alloc((size_t)count, sizeof *f->first, "a resize filter", &memory, err));
    f->first = memory;
    TH_TRY(th_alloc((size_t)count, sizeof *f->end, "a resize filter", &memory, err));
    f->end = memory;
    find_taps(f, support_of(filter), inputs, low, scale, first);
    TH_TRY(th_alloc((size_t)count * (size_t)f->taps, sizeof *f->weights, "a resize filter", &memory,
                    err));
    f->weights = memory;
    TH_TRY(th_alloc((size_t)f->taps, sizeof *row, "a resize filter", &memory, err));
    row = memory;
    fill_weights(f, filter, low, scale, first, row);
out:
    free(row);
    return rc;
}

static inline int32_t rounded(int32_t sum)
{
    sum >>= FRACTION_BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

// One row of pixels -> f->count pixels. Every output takes f->taps pixels, for a loop whose length
// the processor can foresee: the row has room for as many behind its last.
VERSIONS static void resize_row(const tap_table *f, const lanes *weights, const int32_t (*row)[4],
                                int32_t (*sums)[4], int16_t (*to)[4])
{
    int count = f->count, pairs = f->taps / 2;

    for (int i = 0; i < count; i++, weights += pairs) {
        const int32_t(*at)[4] = row + f->first[i];
        lanes sum = { HALF, HALF, HALF, HALF };
        for (int j = 0; j < pairs; j++, at += 2) {
            lanes pixels;
            memcpy(&pixels, at, sizeof pixels);
            sum += pixels * weights[j];
        }
        sum += __builtin_shufflevector(sum, sum, 4, 5, 6, 7, 0, 1, 2, 3);
        memcpy(sums[i], &sum, sizeof sums[i]);
    }
    for (int i = 0; i < count; i++)
        for (int c = 0; c < 4; c++)
            to[i][c] = (int16_t)rounded(sums[i][c]);
}

#define AT_ONCE 8 // pixels of a row: four vectors of sums

// One row of output from `taps` rows of `count` pixels each, which are followed by room for
// AT_ONCE.
VERSIONS static void resize_column(const int32_t *weights, int taps, const int16_t (*rows)[4],
                                   int count, int32_t (*sums)[4], uint8_t (*values)[4], uint8_t *to)
{
    for (int x = 0; x < count; x += AT_ONCE) {
        lanes half = (lanes){ 0 } + HALF, sum[4] = { half, half, half, half };
        const int16_t(*at)[4] = rows + x;
        for (int j = 0; j < taps; j++, at += count) {
            lanes weight = (lanes){ 0 } + weights[j];
            for (int k = 0; k < 4; k++) {
                halves pixels;
                memcpy(&pixels, at + (size_t)k * 2, sizeof pixels);
                sum[k] += __builtin_convertvector(pixels, lanes) * weight;
            }
        }
        memcpy(sums[x], sum, sizeof sum);
    }
    for (int x = 0; x < count; x++)
        for (int c = 0; c < 4; c++)
            values[x][c] = (uint8_t)rounded(sums[x][c]);
    for (int x = 0; x < count; x++, to += 3)
        memcpy(to, values[x], 3);
}

// The weights of rows as pairs of pixels see them: the first four lanes hold one, the others the
// next.
static th_code spread(const tap_table *f, lanes **out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  pairs = (size_t)f->count * (size_t)f->taps / 2;
    void   *memory;

    TH_TRY(th_alloc(pairs, sizeof(lanes), "a resize filter", &memory, err));
    lanes *spread = memory;
    for (size_t i = 0; i < pairs; i++) {
        int32_t a = f->weights[2 * i], b = f->weights[2 * i + 1];
        spread[i] = (lanes){ a, a, a, a, b, b, b, b };
    }
    *out = spread;
out:
    return rc;
}

// Columns first .. first + count of a row, four lanes a pixel.
static void widen_row(const th_image *in, int y, int first, int count, int32_t (*to)[4])
{
    const uint8_t *from = in->pixels + ((size_t)y * (size_t)in->width + (size_t)first) * 3;

    for (int x = 0; x < count; x++, from += 3)
        for (int c = 0; c < 3; c++)
            to[x][c] = from[c];
}

static th_code run_passes(const th_image *in, tap_table *columns, const tap_table *rows,
                          th_image *out, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    int32_t(*row)[4] = NULL, (*sums)[4] = NULL;
    int16_t(*middle)[4] = NULL;
    uint8_t(*values)[4] = NULL;
    lanes *weights = NULL;
    int    count = columns->count, left = columns->first[0], top = rows->first[0];
    int    width = columns->end[count - 1] - left, height = rows->end[rows->count - 1] - top;

    TH_TRY(th_image_shape(out, count, rows->count, err));
    TH_TRY(spread(columns, &weights, err));
    TH_TRY(th_alloc((size_t)(width + columns->taps), sizeof *row, "a row of pixels", &memory, err));
    row = memory;
    TH_TRY(th_alloc((size_t)count + AT_ONCE, sizeof *sums, "a row of sums", &memory, err));
    sums = memory;
    TH_TRY(th_alloc((size_t)count, sizeof *values, "a row of values", &memory, err));
    values = memory;
    middle = malloc(((size_t)count * (size_t)height + AT_ONCE) * sizeof *middle);
    TH_CHECK(middle, TH_EIO, "free some memory", "could not resize a picture: out of memory");
    memset(middle + (size_t)count * (size_t)height, 0, AT_ONCE * sizeof *middle);
    for (int i = 0; i < count; i++)
        columns->first[i] -= left;
    for (int y = 0; y < height; y++) {
        widen_row(in, top + y, left, width, row);
        resize_row(columns, weights, row, sums, middle + (size_t)y * (size_t)count);
    }
    for (int y = 0; y < rows->count; y++)
        resize_column(rows->weights + (size_t)y * (size_t)rows->taps, rows->end[y] - rows->first[y],
                      middle + (size_t)(rows->first[y] - top) * (size_t)count, count, sums, values,
                      out->pixels + (size_t)y * (size_t)count * 3);
out:
    free(weights);
    free(row);
    free(sums);
    free(values);
    free(middle);
    return rc;
}

th_code th_filter_find(const char *name, th_filter *out, th_err *err)
{
    static const char *const names[] = {
        [TH_FILTER_BICUBIC] = "bicubic", [TH_FILTER_BILINEAR] = "bilinear", [TH_FILTER_BOX] = "box"
    };
    th_code rc = TH_OK;

    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (th_filter)i;
            return TH_OK;
        }
    TH_FAIL(TH_EUSAGE, "use bicubic, bilinear or box", "filter \"%s\" is not known", name);
out:
    return rc;
}

th_code th_image_resize_part(const th_image *in, th_filter filter, const double box[4], int width,
                             int height, const int part[4], th_image *out, th_err *err)
{
    th_code   rc = TH_OK;
    tap_table columns = { 0 }, rows = { 0 };

    assert(in != out && width > 0 && height > 0);
    assert(box[0] >= 0 && box[0] < box[2] && box[2] <= in->width);
    assert(box[1] >= 0 && box[1] < box[3] && box[3] <= in->height);
    assert(part[0] >= 0 && part[2] > 0 && part[0] + part[2] <= width);
    assert(part[1] >= 0 && part[3] > 0 && part[1] + part[3] <= height);
    if (box[0] == floor(box[0]) && box[1] == floor(box[1]) && box[2] - box[0] == width &&
        box[3] - box[1] == height) // the weights would be a single one
        return th_image_crop(in, (int)box[0] + part[0], (int)box[1] + part[1], part[2], part[3],
                             out, err);
    TH_TRY(table_open(&columns, filter, in->width, (float)box[0], (float)box[2], width, part[0],
                      part[2], err));
    TH_TRY(table_open(&rows, filter, in->height, (float)box[1], (float)box[3], height, part[1],
                      part[3], err));
    TH_TRY(run_passes(in, &columns, &rows, out, err));
out:
    table_free(&columns);
    table_free(&rows);
    return rc;
}

th_code th_image_resize(const th_image *in, th_filter filter, double left, double top, double right,
                        double bottom, int width, int height, th_image *out, th_err *err)
{
    return th_image_resize_part(in, filter, (double[]){ left, top, right, bottom }, width, height,
                                (int[]){ 0, 0, width, height }, out, err);
}
