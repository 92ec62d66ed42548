#include "checkpoint/interchange/positions.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Keys' cubic; torch's antialiased one has a = -0.5, its plain one -0.75.
static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

// What each of n places is made of: `taps` neighbouring ones of m, from first[i] on.
typedef struct {
    int64_t  n, m, taps;
    int64_t *first;  // [n]
    double  *weight; // [n, taps]
} kernel;

static th_code make_kernel(int64_t n, int64_t m, kernel *out, th_err *err)
{
    double  scale = (double)m / (double)n, wide = scale > 1 ? scale : 1, reach = 2 * wide;
    kernel  k = { .n = n, .m = m, .taps = 2 * (int64_t)ceil(reach) + 1 };
    th_code rc = TH_OK;

    TH_TRY(th_alloc((size_t)n, sizeof *k.first, "interpolation", (void **)&k.first, err));
    TH_TRY(
        th_alloc((size_t)(n * k.taps), sizeof *k.weight, "interpolation", (void **)&k.weight, err));
    for (int64_t i = 0; i < n; i++) {
        double  centre = scale * ((double)i + 0.5), sum = 0, *weight = k.weight + i * k.taps;
        int64_t first = (int64_t)(centre - reach + 0.5), end = (int64_t)(centre + reach + 0.5);
        if (first < 0)
            first = 0;
        if (end > m)
            end = m;
        for (int64_t t = 0; t < end - first; t++) {
            weight[t] = cubic(((double)(first + t) - centre + 0.5) / wide);
            sum += weight[t];
        }
        for (int64_t t = 0; t < end - first; t++)
            weight[t] /= sum;
        k.first[i] = first;
    }
    *out = k;
    return TH_OK;
out:
    free(k.first);
    free(k.weight);
    return rc;
}

// to[i] = sum of the taps of from, for rows of `width` floats that lie `from_step` and `to_step`
// floats apart.
static void apply(const kernel *k, const float *from, int64_t from_step, float *to, int64_t to_step,
                  int64_t width)
{
    for (int64_t i = 0; i < k->n; i++)
        for (int64_t c = 0; c < width; c++) {
            double sum = 0;
            for (int64_t t = 0; t < k->taps && k->first[i] + t < k->m; t++)
                sum += k->weight[i * k->taps + t] * (double)from[(k->first[i] + t) * from_step + c];
            to[i * to_step + c] = (float)sum;
        }
}

th_code th_positions_resize(const float *from, int64_t from_side, float *to, int64_t to_side,
                            int64_t width, th_err *err)
{
    kernel  k = { 0 };
    float  *half = NULL; // [from_side, to_side, width]: one direction is done
    int64_t row = to_side * width;
    th_code rc = TH_OK;

    if (from_side == to_side) {
        memcpy(to, from, (size_t)((1 + to_side * to_side) * width) * sizeof *to);
        return TH_OK;
    }
    TH_TRY(make_kernel(to_side, from_side, &k, err));
    TH_TRY(th_alloc((size_t)(from_side * row), sizeof *half, "interpolation", (void **)&half, err));
    memcpy(to, from, (size_t)width * sizeof *to);
    from += width;
    to += width;
    for (int64_t y = 0; y < from_side; y++)
        apply(&k, from + y * from_side * width, width, half + y * row, width, width);
    for (int64_t x = 0; x < to_side; x++)
        apply(&k, half + x * width, row, to + x * width, row, width);
out:
    free(k.first);
    free(k.weight);
    free(half);
    return rc;
}
