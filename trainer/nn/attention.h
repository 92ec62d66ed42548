/* trainer/nn/attention.h - scaled dot-product attention of many short sequences, fused.
 *
 *     out_i = sum_j softmax_j(q_i k_j / sqrt(D)) v_j,   j over the sequence, or up to i when causal
 *
 * Sequences are packed back to back: token t of sequence s is row first[s] + t. Head h is columns
 * h D .. (h + 1) D - 1 of q, k, v and out; D is the head dimension. The scores of a few rows at a
 * time live in the cache and are not kept: backward forms them again from the log-sum-exp of each
 * row, as FlashAttention does (Dao et al. 2022, arXiv:2205.14135). OpenBLAS runs products of this
 * size at half of the peak, so they are our own (attention_unit.h), one set for each instruction
 * set, chosen when called.
 *
 * Pooled: one query a sequence, row s of q and out, which sees the whole sequence.
 *
 * Calls: Local; the th_*_share functions are called by every thread of an OpenMP team, and each
 * does its part. A (sequence, head) pair is one unit of work, and units share no sums, so the
 * result has the same bits on any number of threads. They do not wait for each other. */
#ifndef TH_TRAINER_NN_ATTENTION_H
#define TH_TRAINER_NN_ATTENTION_H

#include "trainer/nn/real.h"
#include <stdbool.h>

typedef struct {
    const th_real *q, *k, *v;           // [rows, ...]
    int64_t        q_stride, kv_stride; // elements from a row to the next
    const int64_t *first;               // [sequences + 1] first row of each; first[0] = 0
    int64_t        sequences, heads, head_dim;
    bool           causal, pooled;
} th_attention;

/* Elements of scratch that each thread needs; longest: tokens of the longest sequence. */
int64_t th_attention_scratch(int64_t longest, int64_t head_dim);

/* out [rows of q, heads D]; lse [rows of q, heads]: log-sum-exp of each query's scores, for
 * backward. scratch: of this thread, on a 64-byte boundary. */
void th_attention_share(const th_attention *in, th_real *scratch, th_real *out, th_real *lse);

/* dq, dk, dv: what d_out [rows of q, heads D] means for q, k, v, with their strides; overwritten.
 */
void th_attention_backward_share(const th_attention *in, const th_real *d_out, const th_real *lse,
                                 th_real *scratch, th_real *dq, th_real *dk, th_real *dv);

#endif
