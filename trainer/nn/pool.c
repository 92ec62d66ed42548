#include "trainer/nn/pool.h"

#include "trainer/nn/units.h"
#include <string.h>

void th_mean_share(const th_real *x, const int64_t *first, int64_t n, int64_t width, th_real *y)
{
    th_rows mine = th_share(n, 1);

    for (int64_t s = mine.first; s < mine.first + mine.count; s++) {
        th_real *sum = y + s * width, factor = 1 / (th_real)(first[s + 1] - first[s]);
        memset(sum, 0, (size_t)width * sizeof *sum);
        for (int64_t t = first[s]; t < first[s + 1]; t++)
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                sum[j] += x[t * width + j];
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            sum[j] *= factor;
    }
}

void th_mean_backward_share(const th_real *dy, const int64_t *first, int64_t n, int64_t width,
                            th_real *dx)
{
    th_rows mine = th_share(n, 1);

    for (int64_t s = mine.first; s < mine.first + mine.count; s++) {
        th_real factor = 1 / (th_real)(first[s + 1] - first[s]);
        for (int64_t t = first[s]; t < first[s + 1]; t++)
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                dx[t * width + j] = dy[s * width + j] * factor;
    }
}
