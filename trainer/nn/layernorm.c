#include "trainer/nn/layernorm.h"

#include "trainer/nn/clones.h"
#include <math.h>
#include <string.h>

static inline void normalize(const th_real *x, int64_t width, const th_real *gamma,
                             const th_real *beta, th_real mean, th_real rstd, th_real *y)
{
#pragma omp simd
    for (int64_t j = 0; j < width; j++)
        y[j] = (x[j] - mean) * rstd * gamma[j] + beta[j];
}

TH_CLONES void th_layernorm(const th_real *x, int64_t rows, int64_t width, const th_real *gamma,
                            const th_real *beta, double eps, th_real *y, th_real *mean,
                            th_real *rstd)
{
    for (int64_t i = 0; i < rows; i++, x += width, y += width) {
        th_real sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < width; j++)
            sum += x[j];
        // The second pass is over a row in the first-level cache, and does not cancel.
        th_real m = sum / (th_real)width;
#pragma omp simd reduction(+ : square)
        for (int64_t j = 0; j < width; j++)
            square += (x[j] - m) * (x[j] - m);
        th_real r = (th_real)(1 / sqrt((double)square / (double)width + eps));
        normalize(x, width, gamma, beta, m, r, y);
        if (mean) {
            mean[i] = m;
            rstd[i] = r;
        }
    }
}

TH_CLONES void th_layernorm_again(const th_real *x, int64_t rows, int64_t width,
                                  const th_real *gamma, const th_real *beta, const th_real *mean,
                                  const th_real *rstd, th_real *y)
{
    for (int64_t i = 0; i < rows; i++)
        normalize(x + i * width, width, gamma, beta, mean[i], rstd[i], y + i * width);
}

// With g = dy gamma and n = (x - mean) rstd:  dx = rstd (g - mean(g) - n mean(g n)).
TH_CLONES void th_layernorm_backward(const th_real *dy, const th_real *x, int64_t rows,
                                     int64_t width, const th_real *gamma, const th_real *mean,
                                     const th_real *rstd, const th_real *residual, th_real *dx,
                                     th_real *sum_gamma, th_real *sum_beta)
{
    if (sum_gamma) {
        memset(sum_gamma, 0, (size_t)width * sizeof *sum_gamma);
        memset(sum_beta, 0, (size_t)width * sizeof *sum_beta);
    }
    for (int64_t i = 0; i < rows; i++, dy += width, x += width, dx += width) {
        th_real m = mean[i], r = rstd[i], sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
        for (int64_t j = 0; j < width; j++) {
            sum += dy[j] * gamma[j];
            along += dy[j] * gamma[j] * (x[j] - m);
        }
        if (sum_gamma) {
#pragma omp simd
            for (int64_t j = 0; j < width; j++) {
                sum_gamma[j] += dy[j] * ((x[j] - m) * r);
                sum_beta[j] += dy[j];
            }
        }
        th_real a = sum / (th_real)width, b = along * r * r / (th_real)width;
        if (residual) {
            const th_real *keep = residual + i * width;
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                dx[j] = keep[j] + r * (dy[j] * gamma[j] - a - (x[j] - m) * b);
        } else {
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                dx[j] = r * (dy[j] * gamma[j] - a - (x[j] - m) * b);
        }
    }
}
