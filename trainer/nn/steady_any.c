/* trainer/nn/steady_any.c - the steady product for any processor: 16-byte vectors. */
#define UNIT        th_steady_any
#define VEC_BYTES   16
#define TILE_ROWS   4
#define TILE_VECS   2
#define DEPTH_BYTES 512
#include "trainer/nn/steady_unit.h"
