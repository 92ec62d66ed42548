// Antialiased resize with the same bits as Pillow's for 8-bit RGB, so that a model sees the
// pictures that open_clip's preprocessing would have shown it.
//
// Rows that the output needs are resized a few at a time into a ring, out of which the next row of
// output is made as soon as its last is there: what is between the passes stays in the cache.
#include "dataloader/image/resize_private.h"

#include "base/memory.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const th_resize_kernels *kernels;
    const th_image          *in;
    const th_taps           *columns, *rows;
    int                      left, bottom; // first column that is needed, first row behind them
    size_t                   reading;      // bytes that the kernels may read from the left on
    uint8_t                 *padded; // [TH_ROWS_AT_ONCE, reading]: rows at the picture's very end
    uint8_t                 *ring;   // [ring_rows, stride]: resized row y stands in y % ring_rows
    int                      ring_rows;
    size_t                   stride;
    const uint8_t          **window; // [2 * rows->pairs] the rows under an output's taps
} passes;

static void passes_close(passes *p)
{
    free(p->padded);
    free(p->ring);
    free(p->window);
}

static th_code passes_open(passes *p, th_err *err)
{
    th_code rc = TH_OK;
    int     last = p->columns->first[p->columns->count - 1] - p->columns->first[0];
    size_t  bytes = (size_t)p->columns->count * 3;
    void   *memory;

    p->left = p->columns->first[0];
    p->bottom = p->rows->end[p->rows->count - 1];
    p->reading = ((size_t)last + 2 * (size_t)(p->columns->pairs - 1)) * 3 + TH_RESIZE_READING;
    p->stride = bytes + TH_RESIZE_BLOCK - bytes % TH_RESIZE_BLOCK; // at least a byte more
    p->ring_rows = 2 * p->rows->pairs + TH_ROWS_AT_ONCE;
    TH_TRY(th_alloc(TH_ROWS_AT_ONCE, p->reading, "a row of pixels", &memory, err));
    p->padded = memory;
    TH_TRY(th_alloc((size_t)p->ring_rows, p->stride, "resized rows", &memory, err));
    p->ring = memory;
    TH_TRY(th_alloc(2 * (size_t)p->rows->pairs, sizeof *p->window, "resized rows", &memory, err));
    p->window = memory;
out:
    return rc;
}

// Row y of the picture from the left on, with p->reading bytes at it.
static const uint8_t *row_at(const passes *p, int y, uint8_t *padded)
{
    size_t         width = (size_t)p->in->width;
    size_t         place = (width * (size_t)y + (size_t)p->left) * 3;
    size_t         behind = width * (size_t)p->in->height * 3 - place; // to the picture's end
    const uint8_t *row = p->in->pixels + place;

    if (behind >= p->reading)
        return row;
    memcpy(padded, row, behind);
    return padded;
}

static uint8_t *resized(const passes *p, int y)
{
    return p->ring + (size_t)(y % p->ring_rows) * p->stride;
}

// Rows y and the next into the ring; of those behind the last the last, once more.
static void resize_next_rows(const passes *p, int y)
{
    const uint8_t *from[TH_ROWS_AT_ONCE];
    uint8_t       *to[TH_ROWS_AT_ONCE];

    for (int i = 0; i < TH_ROWS_AT_ONCE; i++) {
        int row = y + i < p->bottom ? y + i : p->bottom - 1;
        from[i] = row_at(p, row, p->padded + (size_t)i * p->reading);
        to[i] = resized(p, row);
    }
    p->kernels->rows(p->columns, from, to);
}

static void run(const passes *p, th_image *out)
{
    const th_taps *rows = p->rows;
    size_t         bytes = (size_t)out->width * 3;
    int            next = rows->first[0]; // the first row that is not yet resized

    for (int y = 0; y < rows->count; y++) {
        int first = rows->first[y], end = rows->end[y], pairs = (end - first + 1) / 2;
        for (; next < end; next += TH_ROWS_AT_ONCE)
            resize_next_rows(p, next);
        for (int j = 0; j < 2 * pairs; j++)
            p->window[j] = resized(p, first + j < end ? first + j : end - 1);
        p->kernels->column(rows->weights + (size_t)y * (size_t)rows->pairs, pairs, p->window, bytes,
                           out->pixels + (size_t)y * bytes);
    }
}

static const th_resize_kernels *best_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return &th_resize_avx2;
#endif
    return &th_resize_plain;
}

th_code th_image_resize_with(const th_resize_kernels *kernels, const th_image *in, th_filter filter,
                             const double box[4], int width, int height, const int part[4],
                             th_image *out, th_err *err)
{
    th_code rc = TH_OK;
    th_taps columns = { 0 }, rows = { 0 };
    passes  p = { .kernels = kernels, .in = in, .columns = &columns, .rows = &rows };

    TH_TRY(th_taps_open(&columns, filter, in->width, (float)box[0], (float)box[2], width, part[0],
                        part[2], err));
    TH_TRY(th_taps_open(&rows, filter, in->height, (float)box[1], (float)box[3], height, part[1],
                        part[3], err));
    TH_TRY(passes_open(&p, err));
    TH_TRY(th_image_shape(out, part[2], part[3], err));
    run(&p, out);
out:
    passes_close(&p);
    th_taps_close(&columns);
    th_taps_close(&rows);
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
    assert(in != out && width > 0 && height > 0);
    assert(box[0] >= 0 && box[0] < box[2] && box[2] <= in->width);
    assert(box[1] >= 0 && box[1] < box[3] && box[3] <= in->height);
    assert(part[0] >= 0 && part[2] > 0 && part[0] + part[2] <= width);
    assert(part[1] >= 0 && part[3] > 0 && part[1] + part[3] <= height);
    if (box[0] == floor(box[0]) && box[1] == floor(box[1]) && box[2] - box[0] == width &&
        box[3] - box[1] == height) // the weights would be a single one
        return th_image_crop(in, (int)box[0] + part[0], (int)box[1] + part[1], part[2], part[3],
                             out, err);
    return th_image_resize_with(best_kernels(), in, filter, box, width, height, part, out, err);
}

th_code th_image_resize(const th_image *in, th_filter filter, double left, double top, double right,
                        double bottom, int width, int height, th_image *out, th_err *err)
{
    return th_image_resize_part(in, filter, (double[]){ left, top, right, bottom }, width, height,
                                (int[]){ 0, 0, width, height }, out, err);
}
