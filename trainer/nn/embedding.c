#include "trainer/nn/embedding.h"

#include "trainer/nn/units.h"
#include <string.h>

#define LINE  16   // elements of a cache line
#define CLEAR 4096 // elements a thread clears at least

static void add_columns(const th_real *x, th_rows columns, th_real *sum)
{
#pragma omp simd
    for (int64_t j = columns.first; j < columns.first + columns.count; j++)
        sum[j] += x[j];
}

void th_embed_share(const int32_t *tokens, const int64_t *first, int64_t n, int64_t width,
                    const th_real *table, const th_real *position, const th_real *shift, th_real *x)
{
#pragma omp for schedule(static)
    for (int64_t s = 0; s < n; s++)
        for (int64_t t = first[s]; t < first[s + 1]; t++) {
            const th_real *row = table + tokens[t] * width,
                          *place = position + (t - first[s]) * width;
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                x[t * width + j] = row[j] + place[j];
            if (shift)
                add_columns(shift, (th_rows){ 0, width }, x + t * width);
        }
}

void th_scatter_tokens_share(const th_real *dx, const int32_t *tokens, int64_t rows, int64_t width,
                             th_real *d_table)
{
    th_rows columns = th_share(width, LINE);

    for (int64_t t = 0; t < rows; t++)
        add_columns(dx + t * width, columns, d_table + tokens[t] * width);
}

void th_scatter_positions_share(const th_real *dx, const int64_t *first, int64_t n, int64_t width,
                                th_real *d_position)
{
    th_rows columns = th_share(width, LINE);

    for (int64_t s = 0; s < n; s++)
        for (int64_t t = first[s]; t < first[s + 1]; t++)
            add_columns(dx + t * width, columns, d_position + (t - first[s]) * width);
}

void th_gather_sum_share(const th_real *dx, const int64_t *index, int64_t n, int64_t width,
                         th_real *sum)
{
    th_rows columns = th_share(width, LINE);

    for (int64_t i = 0; i < n; i++)
        add_columns(dx + (index ? index[i] : i) * width, columns, sum);
}

void th_zero_share(th_real *x, int64_t count)
{
    th_rows mine = th_share(count, CLEAR);

    memset(x + mine.first, 0, (size_t)mine.count * sizeof *x);
}
