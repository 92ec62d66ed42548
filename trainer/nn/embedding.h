/* trainer/nn/embedding.h - rows of a table by index, and their gradient.
 *
 * Calls: Local; the th_*_share functions are called by every thread of an OpenMP team. Columns are
 * split among the threads and every thread walks all rows in order: no sum is shared, and the
 * result has the same bits on any number of threads. */
#ifndef TH_TRAINER_NN_EMBEDDING_H
#define TH_TRAINER_NN_EMBEDDING_H

#include "trainer/nn/real.h"

/* x [first[n], width] = table[tokens[t]] + position[t - first[s]] (+ shift [width] unless it is
 * NULL), sequence s at rows first[s] .. first[s + 1] - 1. */
void th_embed_share(const int32_t *tokens, const int64_t *first, int64_t n, int64_t width,
                    const th_real *table, const th_real *position, const th_real *shift,
                    th_real *x);

/* d_table[tokens[t]] += dx[t]. Only rows of tokens that occur are touched. */
void th_scatter_tokens_share(const th_real *dx, const int32_t *tokens, int64_t rows, int64_t width,
                             th_real *d_table);

/* d_position[t - first[s]] += dx[t]. */
void th_scatter_positions_share(const th_real *dx, const int64_t *first, int64_t n, int64_t width,
                                th_real *d_position);

/* sum += dx[index[i]] for n rows, or dx[i] when index is NULL. */
void th_gather_sum_share(const th_real *dx, const int64_t *index, int64_t n, int64_t width,
                         th_real *sum);

/* Sets count elements to zero. */
void th_zero_share(th_real *x, int64_t count);

#endif
