#include "trainer/nn/steady.h"

#include "trainer/nn/kernels.h"
#include "trainer/nn/steady_private.h"

bool th_steady_leads(void)
{
    return th_kernels() == TH_KERNELS_AVX512;
}

void th_steady(th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a, int64_t lda,
               const th_real *b, int64_t ldb, bool add, th_real *c, int64_t ldc)
{
    steady_kernel *kernel = th_steady_any;

#if defined(__x86_64__)
    if (th_kernels() == TH_KERNELS_AVX512)
        kernel = th_steady_avx512;
    else if (th_kernels() == TH_KERNELS_AVX2)
        kernel = th_steady_avx2;
#endif
    kernel(form_b, m, n, k, a, lda, b, ldb, add, c, ldc);
}
