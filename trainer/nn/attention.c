#include "trainer/nn/attention.h"

#include "trainer/nn/attention_private.h"
#include "trainer/nn/clones.h"
#include "trainer/nn/elementary.h"
#include "trainer/nn/kernels.h"

int64_t th_attention_scratch(int64_t longest, int64_t head_dim)
{
    int64_t lds = pad(longest), ldd = pad(head_dim);
    return 2 * head_dim * lds + 5 * longest * ldd + 2 * BLOCK * lds + BLOCK * ldd;
}

static unit_forward *forward_kernel(void)
{
#if defined(__x86_64__)
    if (th_kernels() == TH_KERNELS_AVX512)
        return th_attention_avx512_forward;
    if (th_kernels() == TH_KERNELS_AVX2)
        return th_attention_avx2_forward;
#endif
    return th_attention_any_forward;
}

static unit_backward *backward_kernel(void)
{
#if defined(__x86_64__)
    unit_forward *forward = forward_kernel();
    if (forward == th_attention_avx512_forward)
        return th_attention_avx512_backward;
    if (forward == th_attention_avx2_forward)
        return th_attention_avx2_backward;
#endif
    return th_attention_any_backward;
}

// One query against a sequence: too thin for tiles, and a dozen times cheaper than a whole block.
TH_CLONES static void pooled_forward(const unit_shape *u, const th_real *q, const th_real *k,
                                     const th_real *v, th_real *score, th_real *out, th_real *lse)
{
    th_real most = -HUGE_VAL, sum = 0;

    for (int64_t j = 0; j < u->tokens; j++) {
        const th_real *key = k + j * u->kv_stride;
        th_real        dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t d = 0; d < u->head_dim; d++)
            dot += q[d] * key[d];
        score[j] = dot * u->scale;
        most = score[j] > most ? score[j] : most;
    }
    for (int64_t j = 0; j < u->tokens; j++) {
        score[j] = th_exp(score[j] - most);
        sum += score[j];
    }
    *lse = most + (th_real)log((double)sum);
    for (int64_t d = 0; d < u->head_dim; d++)
        out[d] = 0;
    for (int64_t j = 0; j < u->tokens; j++) {
        const th_real *value = v + j * u->kv_stride;
        th_real        p = score[j] / sum;
#pragma omp simd
        for (int64_t d = 0; d < u->head_dim; d++)
            out[d] += p * value[d];
    }
}

TH_CLONES static void pooled_backward(const unit_shape *u, const th_real *q, const th_real *k,
                                      const th_real *v, const th_real *d_out, const th_real *lse,
                                      th_real *scratch, th_real *dq, th_real *dk, th_real *dv)
{
    th_real *p = scratch, *dp = scratch + u->tokens, along = 0;

    for (int64_t j = 0; j < u->tokens; j++) {
        const th_real *key = k + j * u->kv_stride, *value = v + j * u->kv_stride;
        th_real        score = 0, d_score = 0;
#pragma omp simd reduction(+ : score, d_score)
        for (int64_t d = 0; d < u->head_dim; d++) {
            score += q[d] * key[d];
            d_score += d_out[d] * value[d];
        }
        p[j] = th_exp(score * u->scale - *lse);
        dp[j] = d_score;
        along += p[j] * dp[j];
    }
    for (int64_t d = 0; d < u->head_dim; d++)
        dq[d] = 0;
    for (int64_t j = 0; j < u->tokens; j++) {
        const th_real *key = k + j * u->kv_stride;
        th_real       *d_key = dk + j * u->kv_stride, *d_value = dv + j * u->kv_stride;
        th_real        ds = p[j] * (dp[j] - along) * u->scale;
#pragma omp simd
        for (int64_t d = 0; d < u->head_dim; d++) {
            dq[d] += ds * key[d];
            d_key[d] = ds * q[d];
            d_value[d] = p[j] * d_out[d];
        }
    }
}

static unit_shape shape_of(const th_attention *in)
{
    return (unit_shape){ .heads = in->heads,
                         .head_dim = in->head_dim,
                         .q_stride = in->q_stride,
                         .kv_stride = in->kv_stride,
                         .out_stride = in->heads * in->head_dim,
                         .scale = (th_real)(1 / sqrt((double)in->head_dim)),
                         .causal = in->causal };
}

void th_attention_share(const th_attention *in, th_real *scratch, th_real *out, th_real *lse)
{
    unit_shape    u = shape_of(in);
    unit_forward *kernel = in->pooled ? pooled_forward : forward_kernel();

#pragma omp for schedule(dynamic) nowait
    for (int64_t unit = 0; unit < in->sequences * in->heads; unit++) {
        int64_t s = unit / in->heads, h = unit % in->heads, column = h * in->head_dim;
        int64_t row = in->pooled ? s : in->first[s];
        int64_t kv = in->first[s] * in->kv_stride + column;

        u.tokens = in->first[s + 1] - in->first[s];
        kernel(&u, in->q + row * in->q_stride + column, in->k + kv, in->v + kv, scratch,
               out + row * u.out_stride + column, lse + row * in->heads + h);
    }
}

void th_attention_backward_share(const th_attention *in, const th_real *d_out, const th_real *lse,
                                 th_real *scratch, th_real *dq, th_real *dk, th_real *dv)
{
    unit_shape     u = shape_of(in);
    unit_backward *kernel = in->pooled ? pooled_backward : backward_kernel();

#pragma omp for schedule(dynamic) nowait
    for (int64_t unit = 0; unit < in->sequences * in->heads; unit++) {
        int64_t s = unit / in->heads, h = unit % in->heads, column = h * in->head_dim;
        int64_t row = in->pooled ? s : in->first[s], q = row * in->q_stride + column;
        int64_t kv = in->first[s] * in->kv_stride + column;

        u.tokens = in->first[s + 1] - in->first[s];
        kernel(&u, in->q + q, in->k + kv, in->v + kv, d_out + row * u.out_stride + column,
               lse + row * in->heads + h, scratch, dq + q, dk + kv, dv + kv);
    }
}
