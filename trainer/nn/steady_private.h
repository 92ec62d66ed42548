/* trainer/nn/steady_private.h - what steady.c and its kernels share. */
#ifndef TH_TRAINER_NN_STEADY_PRIVATE_H
#define TH_TRAINER_NN_STEADY_PRIVATE_H

#include "trainer/nn/steady.h"

typedef void steady_kernel(th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a,
                           int64_t lda, const th_real *b, int64_t ldb, bool add, th_real *c,
                           int64_t ldc);

steady_kernel th_steady_any;
#if defined(__x86_64__)
steady_kernel th_steady_avx2, th_steady_avx512;
#endif

#endif
