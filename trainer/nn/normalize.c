#include "trainer/nn/normalize.h"

#include "trainer/nn/clones.h"
#include <math.h>

#define SHORTEST TH_REAL_C(1e-12)

TH_CLONES static void scale_row(const th_real *x, int64_t d, th_real *y, th_real *norm)
{
    th_real square = 0;

#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < d; j++)
        square += x[j] * x[j];
    th_real length = (th_real)sqrt((double)square);
    *norm = length < SHORTEST ? SHORTEST : length; // NaN stays: the comparison is false
    th_real scale = 1 / *norm;
#pragma omp simd
    for (int64_t j = 0; j < d; j++)
        y[j] = x[j] * scale;
}

TH_CLONES static void scale_row_backward(const th_real *y, th_real norm, const th_real *dy,
                                         int64_t d, th_real *dx)
{
    th_real along = 0, scale = 1 / norm;

    if (norm != SHORTEST) {
#pragma omp simd reduction(+ : along)
        for (int64_t j = 0; j < d; j++)
            along += y[j] * dy[j];
    }
#pragma omp simd
    for (int64_t j = 0; j < d; j++)
        dx[j] = (dy[j] - y[j] * along) * scale;
}

void th_normalize_rows(const th_real *x, int64_t n, int64_t d, th_real *y, th_real *norm)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        scale_row(x + i * d, d, y + i * d, norm + i);
}

void th_normalize_rows_backward(const th_real *y, const th_real *norm, const th_real *dy, int64_t n,
                                int64_t d, th_real *dx)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        scale_row_backward(y + i * d, norm[i], dy + i * d, d, dx + i * d);
}
