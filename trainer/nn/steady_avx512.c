/* trainer/nn/steady_avx512.c - the steady product for AVX-512: 32 registers of 64 bytes. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif
#define UNIT        th_steady_avx512
#define VEC_BYTES   64
#define TILE_ROWS   6
#define TILE_VECS   4
#define DEPTH_BYTES 512 // a panel is 32 KiB, a first-level cache
#include "trainer/nn/steady_unit.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
