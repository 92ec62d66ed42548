/* trainer/nn/attention_private.h - what attention.c and its kernels share. */
#ifndef TH_TRAINER_NN_ATTENTION_PRIVATE_H
#define TH_TRAINER_NN_ATTENTION_PRIVATE_H

#include "trainer/nn/attention.h"

#define BLOCK ((int64_t)48)                     // query rows whose scores are held at a time
#define PAD   ((int64_t)(64 / sizeof(th_real))) // elements of the widest vector

static inline int64_t pad(int64_t n)
{
    return (n + PAD - 1) / PAD * PAD;
}

typedef struct {
    int64_t tokens, heads, head_dim, q_stride, kv_stride, out_stride;
    th_real scale; // 1 / sqrt(head_dim)
    bool    causal;
} unit_shape;

typedef void unit_forward(const unit_shape *u, const th_real *q, const th_real *k, const th_real *v,
                          th_real *scratch, th_real *out, th_real *lse);
typedef void unit_backward(const unit_shape *u, const th_real *q, const th_real *k,
                           const th_real *v, const th_real *d_out, const th_real *lse,
                           th_real *scratch, th_real *dq, th_real *dk, th_real *dv);

unit_forward  th_attention_any_forward;
unit_backward th_attention_any_backward;
#if defined(__x86_64__)
unit_forward  th_attention_avx2_forward, th_attention_avx512_forward;
unit_backward th_attention_avx2_backward, th_attention_avx512_backward;
#endif

#endif
