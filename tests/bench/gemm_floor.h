/* tests/bench/gemm_floor.h - the time OpenBLAS alone needs for the matrix products of a tower.
 *
 * A floor lists every product of one forward and backward pass with its shape, and runs them one
 * after the other on one thread, with nothing between: no bias, no norm, no activation. Attention
 * is counted as the calls one would make for it, by (sequence, head), six products in all; that
 * thaw forms the scores once more in backward is its own affair and not in the floor. Operands walk
 * through a pool larger than the caches, as weights and activations do. */
#ifndef TH_TESTS_BENCH_GEMM_FLOOR_H
#define TH_TESTS_BENCH_GEMM_FLOOR_H

#include "trainer/parameters.h"

typedef struct th_floor th_floor;

/* Errors: TH_EIO. */
TH_MUST_CHECK th_code th_floor_open(th_floor **out, th_err *err);
void                  th_floor_close(th_floor *floor); // accepts NULL

/* c [m, n] = op(a) op(b), `count` times. */
TH_MUST_CHECK th_code th_floor_add(th_floor *floor, bool a_transposed, bool b_transposed, int64_t m,
                                   int64_t n, int64_t k, int64_t count, th_err *err);

/* All products of one pass of a tower over n samples; lengths [n]: tokens of each caption, for the
 * text tower. */
TH_MUST_CHECK th_code th_floor_add_tower(th_floor *floor, const th_model_config *model,
                                         th_tower tower, int64_t n, const int64_t *lengths,
                                         th_err *err);

/* Runs them all; seconds. flops: multiplications and additions of all products. */
double th_floor_seconds(const th_floor *floor);
double th_floor_flops(const th_floor *floor);

#endif
