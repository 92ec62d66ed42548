/* trainer/nn/attention_avx512.c - the kernels for AVX-512: 32 registers of 64 bytes. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif
#define UNIT(name) th_attention_avx512_##name
#define VEC_BYTES  64
#define TILE_ROWS  6
#define TILE_VECS  4
#include "trainer/nn/attention_unit.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
