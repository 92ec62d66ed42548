#include "trainer/loss/softmax.h"

#include "trainer/nn/clones.h"
#include "trainer/nn/elementary.h"

// Written so that a NaN in the tile is passed over: it comes back in the sums.
TH_CLONES
static void max_of_row(const th_real *row, int64_t columns, th_real *row_max, th_real *column_max)
{
    th_real most = *row_max;

#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < columns; j++)
        most = row[j] > most ? row[j] : most;
#pragma omp simd
    for (int64_t j = 0; j < columns; j++)
        column_max[j] = row[j] > column_max[j] ? row[j] : column_max[j];
    *row_max = most;
}

TH_CLONES
static void sum_of_row(const th_real *row, int64_t columns, th_real scale, th_real row_max,
                       const th_real *column_max, double *row_sum, double *column_sum)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < columns; j++) {
        sum += (double)th_exp(scale * (row[j] - row_max));
        column_sum[j] += (double)th_exp(scale * (row[j] - column_max[j]));
    }
    *row_sum += sum;
}

TH_CLONES
static void both_of_row(th_real *row, int64_t columns, th_real scale, th_real row_max,
                        th_real row_inverse, const th_real *column_max,
                        const th_real *column_inverse)
{
#pragma omp simd
    for (int64_t j = 0; j < columns; j++)
        row[j] = th_exp(scale * (row[j] - row_max)) * row_inverse +
                 th_exp(scale * (row[j] - column_max[j])) * column_inverse[j];
}

void th_softmax_max(const th_real *tile, int64_t rows, int64_t columns, th_real *row_max,
                    th_real *column_max)
{
    for (int64_t i = 0; i < rows; i++)
        max_of_row(tile + i * columns, columns, row_max + i, column_max);
}

void th_softmax_sum(const th_real *tile, int64_t rows, int64_t columns, th_real scale,
                    const th_real *row_max, const th_real *column_max, double *row_sum,
                    double *column_sum)
{
    for (int64_t i = 0; i < rows; i++)
        sum_of_row(tile + i * columns, columns, scale, row_max[i], column_max, row_sum + i,
                   column_sum);
}

void th_softmax_both(th_real *tile, int64_t rows, int64_t columns, th_real scale,
                     const th_real *row_max, const th_real *row_inverse, const th_real *column_max,
                     const th_real *column_inverse)
{
    for (int64_t i = 0; i < rows; i++)
        both_of_row(tile + i * columns, columns, scale, row_max[i], row_inverse[i], column_max,
                    column_inverse);
}
