/* trainer/nn/gemm_check.h - is the BLAS behind trainer/nn/gemm.h the one we need, and is it right?
 *
 * OpenBLAS chooses kernels by the processor's name. One that it does not know may get kernels or
 * cache sizes that are not its own: 0.3.21 on Zen 5 computes wrong products, or crashes. So ask in
 * a process that may end. */
#ifndef TH_TRAINER_NN_GEMM_CHECK_H
#define TH_TRAINER_NN_GEMM_CHECK_H

#include "trainer/nn/real.h"
#include <stdbool.h>

/* Version and build of OpenBLAS: "OpenBLAS 0.3.21 DYNAMIC_ARCH Haswell"; a static text. */
const char *th_gemm_library(void);

/* Is it the flavour whose threads are OpenMP's? Another has threads of its own beside ours. */
bool th_gemm_is_openmp(void);

/* The largest error of th_gemm against plain sums in double, relative to the sum of the products'
 * sizes, over sizes around the kernels' blocks, all four forms, beta 0 and 1. A sum of k <= 1152
 * products in float is below TH_GEMM_ERROR when it is right. NaN when memory is out or a product is
 * NaN. Local, about 0.1 s. */
#define TH_GEMM_ERROR 1e-5
double th_gemm_check(void);

#endif
