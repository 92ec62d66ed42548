#include "trainer/nn/steady.h"

#include "trainer/nn/steady_private.h"

static bool has_avx512(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

bool th_steady_leads(void)
{
    return has_avx512();
}

void th_steady(th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a, int64_t lda,
               const th_real *b, int64_t ldb, bool add, th_real *c, int64_t ldc)
{
    steady_kernel *kernel = th_steady_any;

#if defined(__x86_64__)
    if (has_avx512())
        kernel = th_steady_avx512;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        kernel = th_steady_avx2;
#endif
    kernel(form_b, m, n, k, a, lda, b, ldb, add, c, ldc);
}
