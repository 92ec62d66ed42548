#include "trainer/nn/gemm.h"

#include <cblas.h>
#include <omp.h>

#ifdef TH_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

void th_gemm(th_form form_a, th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a,
             int64_t lda, const th_real *b, int64_t ldb, th_real beta, th_real *c, int64_t ldc)
{
    if (m <= 0 || n <= 0)
        return;
    // OpenBLAS's OpenMP flavour takes omp_get_max_threads() threads unless it is inside a region of
    // two or more. The setting belongs to the calling thread, so no other one sees the change.
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (threads > 1)
        omp_set_num_threads(1);
    // Row-major c = a b is column-major c' = b' a'. Said in columns, because OpenBLAS has a kernel
    // of its own for small row-major products, which rounds otherwise.
    GEMM(CblasColMajor, form_b == TH_AS_IS ? CblasNoTrans : CblasTrans,
         form_a == TH_AS_IS ? CblasNoTrans : CblasTrans, (blasint)n, (blasint)m, (blasint)k, 1, b,
         (blasint)ldb, a, (blasint)lda, beta, c, (blasint)ldc);
    if (threads > 1)
        omp_set_num_threads(threads);
}

const char *th_gemm_core(void)
{
    return openblas_get_corename();
}
