// Antialiased bicubic resize with the same bits as Pillow's for 8-bit RGB, so that a model sees the
// pictures that open_clip's preprocessing would have shown it.
//
// Output pixel x looks at the input around its centre (x + 0.5) * scale through a cubic (Keys 1981,
// a = -0.5) that is stretched by the scale when the picture shrinks: that is the antialiasing. Its
// weights are normalised in double and rounded to 22 fractional bits, which leaves 8 bits for the
// value and 2 for sign and overshoot in an int32_t. Rows are resized first, then columns; between
// the passes values are rounded to 8 bits. Integer sums have no order, so any vector width gives
// the same bits.
//
// The passes treat a pixel as four lanes (the fourth is not used), two neighbours at a time.
#include "dataloader/image/image.h"

#include "base/memory.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FRACTION_BITS 22
#define HALF          (1 << (FRACTION_BITS - 1))
#define SUPPORT       2.0 // the cubic is zero from here on

// ifunc resolvers run before the sanitizer's start-up, so a sanitized build keeps one version.
#if defined(__x86_64__) && !defined(TH_SANITIZE)
#define VERSIONS __attribute__((target_clones("avx2", "default")))
#else
#define VERSIONS
#endif
// Pillow rounds every product: a fused multiply-add would give other weights now and then.
#define UNFUSED __attribute__((optimize("fp-contract=off")))

// Into each version of its caller, and never a call: a vector cannot be passed between versions.
#define INLINE __attribute__((always_inline)) inline

typedef int32_t lanes __attribute__((vector_size(32)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

typedef struct {
    int      count;   // outputs
    int      stride;  // weights kept for each, an even number; those behind `taps` are zero
    int     *first;   // [count] first input pixel
    int     *taps;    // [count] input pixels used
    int32_t *weights; // [count, stride]
} filter;

static void filter_free(filter *f)
{
    free(f->first);
    free(f->taps);
    free(f->weights);
}

UNFUSED static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < SUPPORT)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

// Weights of outputs first .. first + count of `outputs` that cover low .. high of `inputs` pixels.
// `row` is scratch for one output's weights.
UNFUSED static void fill_filter(filter *f, int inputs, float low, float high, int outputs,
                                int first, double *row)
{
    double scale = (double)(high - low) / outputs, stretch = scale < 1.0 ? 1.0 : scale;
    double support = SUPPORT * stretch, shrink = 1.0 / stretch;

    for (int i = 0; i < f->count; i++) {
        double centre = low + (first + i + 0.5) * scale, sum = 0.0;
        int    from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
        from = from < 0 ? 0 : from;
        to = to > inputs ? inputs : to;
        for (int j = from; j < to; j++) {
            row[j - from] = cubic((j - centre + 0.5) * shrink);
            sum += row[j - from];
        }
        f->first[i] = from;
        f->taps[i] = to - from;
        for (int j = 0; j < to - from; j++) {
            double weight = (sum != 0.0 ? row[j] / sum : row[j]) * (1 << FRACTION_BITS);
            f->weights[(size_t)i * (size_t)f->stride + (size_t)j] =
                (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
}

static th_code filter_open(filter *f, int inputs, double low, double high, int outputs, int first,
                           int count, th_err *err)
{
    th_code rc = TH_OK;
    double  scale = (high - low) / outputs;
    void   *memory = NULL;
    double *row = NULL;

    *f = (filter){ .count = count };
    double taps = ceil(SUPPORT * (scale < 1.0 ? 1.0 : scale)) * 2 + 1;
    f->stride = ((int)(taps < inputs ? taps : inputs) + 1) & ~1;
    TH_TRY(th_alloc((size_t)count, sizeof *f->first, "a resize filter", &memory, err));
    f->first = memory;
    TH_TRY(th_alloc((size_t)count, sizeof *f->taps, "a resize filter", &memory, err));
    f->taps = memory;
    TH_TRY(th_alloc((size_t)count * (size_t)f->stride, sizeof *f->weights, "a resize filter",
                    &memory, err));
    f->weights = memory;
    TH_TRY(th_alloc((size_t)f->stride, sizeof *row, "a resize filter", &memory, err));
    row = memory;
    fill_filter(f, inputs, (float)low, (float)high, outputs, first, row);
out:
    free(row);
    return rc;
}

INLINE static void add_product(lanes *sum, const uint8_t *from, const lanes *weights)
{
    bytes8 bytes;

    memcpy(&bytes, from, sizeof bytes);
    *sum += __builtin_convertvector(bytes, lanes) * *weights;
}

INLINE static void round_and_cut(lanes *sum)
{
    lanes value = *sum >> FRACTION_BITS, high = value > 255; // comparisons give all ones or zero

    value = (value & ~high) | (255 & high);
    *sum = value & (value > 0);
}

// One row of RGBX pixels, with room for one more behind the last -> f->count RGB pixels.
VERSIONS static void resize_row(const filter *f, const lanes *weights, const uint8_t *row,
                                uint8_t *to)
{
    for (int i = 0; i < f->count; i++, weights += f->stride / 2) {
        const uint8_t *at = row + (size_t)f->first[i] * 4;
        lanes          sum = { HALF, HALF, HALF, HALF };
        for (int j = 0; j < f->taps[i]; j += 2, at += 8)
            add_product(&sum, at, &weights[j / 2]);
        sum += __builtin_shuffle(sum, (lanes){ 4, 5, 6, 7, 0, 1, 2, 3 });
        round_and_cut(&sum);
        for (int c = 0; c < 3; c++)
            *to++ = (uint8_t)sum[c];
    }
}

// One row of output from `taps` rows of row_bytes each.
VERSIONS static void resize_column(const int32_t *weights, int taps, const uint8_t *rows,
                                   size_t row_bytes, uint8_t *to)
{
    size_t x = 0;

    for (; x + 32 <= row_bytes; x += 32) {
        lanes          half = (lanes){ 0 } + HALF, sum[4] = { half, half, half, half };
        const uint8_t *at = rows + x;
        for (int j = 0; j < taps; j++, at += row_bytes) {
            lanes weight = (lanes){ 0 } + weights[j];
            for (int k = 0; k < 4; k++)
                add_product(&sum[k], at + (size_t)k * 8, &weight);
        }
        for (int k = 0; k < 4; k++) {
            round_and_cut(&sum[k]);
            bytes8 value = __builtin_convertvector(sum[k], bytes8);
            memcpy(to + x + (size_t)k * 8, &value, sizeof value);
        }
    }
    for (; x < row_bytes; x++) {
        int32_t sum = HALF;
        for (int j = 0; j < taps; j++)
            sum += rows[(size_t)j * row_bytes + x] * weights[j];
        sum >>= FRACTION_BITS;
        to[x] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

// The weights of rows as pairs of pixels see them: the first four lanes hold one, the others the
// next.
static th_code spread(const filter *f, lanes **out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  pairs = (size_t)f->count * (size_t)f->stride / 2;
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

// Columns first .. first + count of a row, as RGBX.
static void widen_row(const th_image *in, int y, int first, int count, uint8_t *to)
{
    const uint8_t *from = in->pixels + ((size_t)y * (size_t)in->width + (size_t)first) * 3;

    for (int x = 0; x + 1 < count; x++, from += 3, to += 4)
        memcpy(to, from, 4); // one byte of the next pixel goes to the lane that is not used
    memcpy(to, from, 3);
}

static th_code run_passes(const th_image *in, filter *columns, const filter *rows, th_image *out,
                          th_err *err)
{
    th_code  rc = TH_OK;
    void    *memory = NULL;
    uint8_t *row = NULL, *middle = NULL;
    lanes   *weights = NULL;
    int      last = columns->count - 1, last_row = rows->count - 1;
    int      left = columns->first[0], top = rows->first[0];
    int      width = columns->first[last] + columns->taps[last] - left;
    int      height = rows->first[last_row] + rows->taps[last_row] - top;
    size_t   row_bytes = (size_t)columns->count * 3;

    TH_TRY(th_image_shape(out, columns->count, rows->count, err));
    TH_TRY(spread(columns, &weights, err));
    TH_TRY(th_alloc((size_t)width + 1, 4, "a row of pixels", &memory, err));
    row = memory;
    middle = malloc(row_bytes * (size_t)height);
    TH_CHECK(middle, TH_EIO, "free some memory", "could not resize a picture: out of memory");
    for (int i = 0; i < columns->count; i++)
        columns->first[i] -= left;
    for (int y = 0; y < height; y++) {
        widen_row(in, top + y, left, width, row);
        resize_row(columns, weights, row, middle + (size_t)y * row_bytes);
    }
    for (int y = 0; y < rows->count; y++)
        resize_column(rows->weights + (size_t)y * (size_t)rows->stride, rows->taps[y],
                      middle + (size_t)(rows->first[y] - top) * row_bytes, row_bytes,
                      out->pixels + (size_t)y * row_bytes);
out:
    free(weights);
    free(row);
    free(middle);
    return rc;
}

th_code th_image_resize_part(const th_image *in, const double box[4], int width, int height,
                             const int part[4], th_image *out, th_err *err)
{
    th_code rc = TH_OK;
    filter  columns = { 0 }, rows = { 0 };

    assert(in != out && width > 0 && height > 0);
    assert(box[0] >= 0 && box[0] < box[2] && box[2] <= in->width);
    assert(box[1] >= 0 && box[1] < box[3] && box[3] <= in->height);
    assert(part[0] >= 0 && part[2] > 0 && part[0] + part[2] <= width);
    assert(part[1] >= 0 && part[3] > 0 && part[1] + part[3] <= height);
    if (box[0] == floor(box[0]) && box[1] == floor(box[1]) && box[2] - box[0] == width &&
        box[3] - box[1] == height) // the weights would be a single one
        return th_image_crop(in, (int)box[0] + part[0], (int)box[1] + part[1], part[2], part[3],
                             out, err);
    TH_TRY(filter_open(&columns, in->width, box[0], box[2], width, part[0], part[2], err));
    TH_TRY(filter_open(&rows, in->height, box[1], box[3], height, part[1], part[3], err));
    TH_TRY(run_passes(in, &columns, &rows, out, err));
out:
    filter_free(&columns);
    filter_free(&rows);
    return rc;
}

th_code th_image_resize(const th_image *in, double left, double top, double right, double bottom,
                        int width, int height, th_image *out, th_err *err)
{
    return th_image_resize_part(in, (double[]){ left, top, right, bottom }, width, height,
                                (int[]){ 0, 0, width, height }, out, err);
}
