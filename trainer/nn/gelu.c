#include "trainer/nn/gelu.h"

#include "trainer/nn/clones.h"
#include "trainer/nn/elementary.h"

#define ROOT_HALF       TH_REAL_C(0.70710678118654752) // sqrt(1 / 2)
#define ROOT_TAU        TH_REAL_C(0.39894228040143268) // 1 / sqrt(2 pi)
#define QUICK_STEEPNESS TH_REAL_C(1.702)

TH_CLONES static void gelu(const th_real *u, int64_t n, th_real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        th_real gauss, half = TH_REAL_C(0.5) * u[i];
        y[i] = half + half * th_erf(u[i] * ROOT_HALF, &gauss);
    }
}

TH_CLONES static void quick_gelu(const th_real *u, int64_t n, th_real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = u[i] / (1 + th_exp(-QUICK_STEEPNESS * u[i]));
}

// d/du u Phi(u) = Phi(u) + u phi(u)
TH_CLONES static void gelu_backward(const th_real *u, int64_t n, th_real *du, th_real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        th_real x = u[i], gauss;
        th_real cdf = TH_REAL_C(0.5) + TH_REAL_C(0.5) * th_erf(x * ROOT_HALF, &gauss);
        y[i] = x * cdf;
        du[i] *= cdf + x * gauss * ROOT_TAU;
    }
}

// d/du u s = s + 1.702 u s (1 - s)
TH_CLONES static void quick_gelu_backward(const th_real *u, int64_t n, th_real *du, th_real *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        th_real x = u[i], s = 1 / (1 + th_exp(-QUICK_STEEPNESS * x));
        y[i] = x * s;
        du[i] *= s + QUICK_STEEPNESS * x * s * (1 - s);
    }
}

TH_CLONES static void add_to(const th_real *x, int64_t n, th_real *sum)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i];
}

void th_activate(th_activation kind, const th_real *u, int64_t n, th_real *y)
{
    if (kind == TH_GELU)
        gelu(u, n, y);
    else
        quick_gelu(u, n, y);
}

void th_activate_backward(th_activation kind, const th_real *u, int64_t rows, int64_t columns,
                          th_real *du, th_real *y, th_real *sum)
{
    if (sum)
        memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t i = 0; i < rows; i++, u += columns, du += columns, y += columns) {
        if (kind == TH_GELU)
            gelu_backward(u, columns, du, y);
        else
            quick_gelu_backward(u, columns, du, y);
        if (sum)
            add_to(du, columns, sum); // the row is still in the first-level cache
    }
}
