/* trainer/nn/kernels.h - which of our kernels run here. */
#ifndef TH_TRAINER_NN_KERNELS_H
#define TH_TRAINER_NN_KERNELS_H

typedef enum { TH_KERNELS_ANY, TH_KERNELS_AVX2, TH_KERNELS_AVX512 } th_kernel_set;

/* The best set that this processor has. */
th_kernel_set th_kernels(void);

/* What the bits of a forward pass depend on beside weights and input: the instruction set (vectors
 * of another length add up norms in another order, fused multiply-add rounds once) and the compiler
 * that laid out the sums. "avx512, 12.2.0"; a static text. Rows that were computed under the same
 * name have the same bits. */
const char *th_kernels_name(void);

#endif
