#include "trainer/nn/kernels.h"

#include "trainer/nn/clones.h"

th_kernel_set th_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return TH_KERNELS_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return TH_KERNELS_AVX2;
#endif
    return TH_KERNELS_ANY;
}

// What is not written for each set by hand is cloned, or (TH_CLONES is empty) compiled once.
#ifdef TH_CLONED
#define BUILD ", " __VERSION__
#else
#define BUILD ", " __VERSION__ ", no clones"
#endif

const char *th_kernels_name(void)
{
    static const char *const names[] = { "any" BUILD, "avx2" BUILD, "avx512" BUILD };

    return names[th_kernels()];
}
