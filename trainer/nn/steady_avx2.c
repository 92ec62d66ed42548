/* trainer/nn/steady_avx2.c - the steady product for AVX2 and FMA: 16 registers of 32 bytes. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif
#define UNIT        th_steady_avx2
#define VEC_BYTES   32
#define TILE_ROWS   6
#define TILE_VECS   2
#define DEPTH_BYTES 3072 // a panel is 48 KiB, streamed from the second-level cache
#include "trainer/nn/steady_unit.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
