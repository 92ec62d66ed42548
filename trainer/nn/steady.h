/* trainer/nn/steady.h - products whose rows have the same bits wherever they stand.
 *
 * What a frozen tower makes of a sample is kept and used again, so it must not depend on the
 * samples beside it. BLAS does not promise that: OpenBLAS's Haswell and Zen sgemm (0.3.21) adds up
 * rows 12 i .. 12 i + 5 of a call in another order than rows 12 i + 6 .. 12 i + 11, in some
 * columns, and the last rows of a call in a third. So these are our own kernels, one set for each
 * instruction set, chosen when called. An element is one chain of additions over k, whatever the
 * tile:
 *
 *     c_ij = ((c_ij + a_i0 b_0j) + a_i1 b_1j) + ...
 *
 * with fused multiply-add from AVX2 on. The bits of a row follow from that row and the weights
 * alone: not from the other rows, their number, threads, or the vector length; only a processor
 * without FMA rounds otherwise. No padding is needed, and any cut of the rows will do.
 *
 * Runs on the calling thread alone, with up to 34 KiB of its stack. Calls: Local; any thread. */
#ifndef TH_TRAINER_NN_STEADY_H
#define TH_TRAINER_NN_STEADY_H

#include "trainer/nn/gemm.h"
#include <stdbool.h>

/* c [m, n] = (c +) a op(b): a [m, k] with rows lda apart, op(b) [k, n]. */
void th_steady(th_form form_b, int64_t m, int64_t n, int64_t k, const th_real *a, int64_t lda,
               const th_real *b, int64_t ldb, bool add, th_real *c, int64_t ldc);

/* Is it faster here than BLAS? Where rows need no steady bits this decides: with AVX-512 it is. */
bool th_steady_leads(void);

#endif
