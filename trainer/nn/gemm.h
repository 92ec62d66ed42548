/* trainer/nn/gemm.h - the one door to BLAS.
 *
 *     c = beta c + op(a) op(b),   c [m, n], op(a) [m, k], op(b) [k, n], row-major
 *
 * ld* are the elements from a row to the next as stored. With beta = 0, c need not be set before.
 * With beta = 1 OpenBLAS does not pass over c to scale it: setting c to a bias or a residual first
 * costs no more than the zeros it would write itself.
 *
 * Runs on the calling thread alone: threads work above it (trainer/nn/units.h).
 * Calls: Local; any thread. Limit: m, n, k and ld* below 2^31, as BLAS counts in int. */
#ifndef TH_TRAINER_NN_GEMM_H
#define TH_TRAINER_NN_GEMM_H

#include "trainer/nn/real.h"

typedef enum { TH_AS_IS, TH_TRANSPOSED } th_form;

void th_gemm(th_form form_a, th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a,
             int64_t lda, const th_real *b, int64_t ldb, th_real beta, th_real *c, int64_t ldc);

/* The kernels that OpenBLAS chose for this processor, "Haswell"; a static text. */
const char *th_gemm_core(void);

#endif
