/* trainer/nn/attention_any.c - the kernels for any processor: 16-byte vectors. */
#define UNIT(name) th_attention_any_##name
#define VEC_BYTES  16
#define TILE_ROWS  4
#define TILE_VECS  2
#include "trainer/nn/attention_unit.h"
