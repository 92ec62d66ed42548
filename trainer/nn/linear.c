#include "trainer/nn/linear.h"

#include "trainer/nn/clones.h"
#include "trainer/nn/gemm.h"
#include "trainer/nn/steady.h"
#include "trainer/nn/units.h"
#include <string.h>

#define LINE 16 // elements of a cache line: threads that share columns do not share lines

TH_CLONES static void prefill(th_real *y, int64_t rows, int64_t out, const th_real *bias,
                              const th_real *residual)
{
    for (int64_t i = 0; i < rows; i++, y += out) {
        if (!residual) {
            memcpy(y, bias, (size_t)out * sizeof *y);
            continue;
        }
        const th_real *r = residual + i * out;
        if (bias) {
#pragma omp simd
            for (int64_t j = 0; j < out; j++)
                y[j] = r[j] + bias[j];
        } else if (r != y) {
            memcpy(y, r, (size_t)out * sizeof *y);
        }
    }
}

void th_linear(const th_real *x, int64_t rows, int64_t in, int64_t out, const th_real *weight,
               const th_real *bias, const th_real *residual, th_real *y)
{
    bool filled = bias || residual;

    if (filled)
        prefill(y, rows, out, bias, residual);
    th_steady(TH_TRANSPOSED, rows, out, in, x, in, weight, in, filled, y, out);
}

void th_linear_backward_input(const th_real *dy, int64_t rows, int64_t in, int64_t out,
                              const th_real *weight, th_real *dx)
{
    // No one asks dx for steady bits: the faster product does it.
    if (th_steady_leads())
        th_steady(TH_AS_IS, rows, in, out, dy, out, weight, in, false, dx, in);
    else
        th_gemm(TH_AS_IS, TH_AS_IS, rows, in, out, dy, out, weight, in, 0, dx, in);
}

// dW is cut into stripes of columns, and a stripe into units of rows; a thread's run of units is
// one call for each stripe it touches. Rows of a call may be any run of units, but columns may not:
// they are the side on which OpenBLAS cuts its blocks by the size of the call, and with them the
// bits. So stripes depend on the shape alone: two where x is the wider side, as each call packs all
// of its columns of x, else one.
void th_linear_backward_weight_share(const th_real *dy, const th_real *x, int64_t rows, int64_t in,
                                     int64_t out, bool add, th_real *d_weight)
{
    int64_t stripes = in >= 2 * out ? 2 : 1, stripe = (in + stripes - 1) / stripes;
    int64_t unit = th_unit_rows(stripe * rows), units = th_unit_count(out, unit);
    int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
    int64_t first = th_slice_first(stripes * units, threads, me);
    int64_t end = th_slice_first(stripes * units, threads, me + 1);

    while (first < end) {
        int64_t s = first / units, u = first % units, run = units - u;
        run = end - first < run ? end - first : run;
        th_rows mine = th_unit_run(out, unit, u, run);
        int64_t column = s * stripe, width = in - column < stripe ? in - column : stripe;
        th_gemm(TH_TRANSPOSED, TH_AS_IS, mine.count, width, rows, dy + mine.first, out, x + column,
                in, add, d_weight + mine.first * in + column, in);
        first += run;
    }
}

TH_CLONES void th_sum_rows(const th_real *x, int64_t rows, int64_t columns, th_real *out)
{
    memset(out, 0, (size_t)columns * sizeof *out);
    for (int64_t i = 0; i < rows; i++, x += columns) {
#pragma omp simd
        for (int64_t j = 0; j < columns; j++)
            out[j] += x[j];
    }
}

void th_fold_share(const th_real *sums, int64_t units, int64_t columns, bool add, th_real *d_bias)
{
    if (!d_bias)
        return;
    th_rows mine = th_share(columns, LINE);
    for (int64_t j = mine.first; j < mine.first + mine.count; j++) {
        th_real sum = add ? d_bias[j] : 0;
        for (int64_t u = 0; u < units; u++)
            sum += sums[u * columns + j];
        d_bias[j] = sum;
    }
}
