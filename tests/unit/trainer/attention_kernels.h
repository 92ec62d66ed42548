/* tests/unit/trainer/attention_kernels.h - the attention kernels of every instruction set that this
 * processor has, over one sequence and one head, and plain loops in double that they must agree
 * with. */
#ifndef TH_TESTS_ATTENTION_KERNELS_H
#define TH_TESTS_ATTENTION_KERNELS_H

#include "tests/unit/trainer/differences.h"
#include "trainer/nn/attention_private.h"

typedef struct {
    const char    *name;
    unit_forward  *forward;
    unit_backward *backward;
} kernel_set;

static inline int kernel_sets(kernel_set out[3])
{
    int count = 0;
    out[count++] = (kernel_set){ "any", th_attention_any_forward, th_attention_any_backward };
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[count++] =
            (kernel_set){ "avx2", th_attention_avx2_forward, th_attention_avx2_backward };
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        out[count++] =
            (kernel_set){ "avx512", th_attention_avx512_forward, th_attention_avx512_backward };
#endif
    return count;
}

static inline void plain_forward(const unit_shape *u, const th_real *q, const th_real *k,
                                 const th_real *v, double *p, double *out, double *lse)
{
    int64_t S = u->tokens, D = u->head_dim;

    for (int64_t i = 0; i < S; i++) {
        double  sum = 0;
        int64_t seen = u->causal ? i + 1 : S;
        for (int64_t j = 0; j < S; j++) {
            p[i * S + j] =
                j < seen ? exp(u->scale * dot(q + i * u->q_stride, k + j * u->kv_stride, D)) : 0;
            sum += p[i * S + j];
        }
        lse[i] = log(sum);
        for (int64_t d = 0; d < D; d++)
            out[i * D + d] = 0;
        for (int64_t j = 0; j < S; j++) {
            p[i * S + j] /= sum;
            for (int64_t d = 0; d < D; d++)
                out[i * D + d] += p[i * S + j] * v[j * u->kv_stride + d];
        }
    }
}

static inline void plain_backward(const unit_shape *u, const th_real *q, const th_real *k,
                                  const th_real *v, const th_real *d_out, const double *p,
                                  double *dq, double *dk, double *dv)
{
    int64_t S = u->tokens, D = u->head_dim;

    for (int64_t i = 0; i < S * D; i++)
        dq[i] = dk[i] = dv[i] = 0;
    for (int64_t i = 0; i < S; i++) {
        double along = 0;
        for (int64_t j = 0; j < S; j++)
            along += p[i * S + j] * dot(d_out + i * D, v + j * u->kv_stride, D);
        for (int64_t j = 0; j < S; j++) {
            double dp = dot(d_out + i * D, v + j * u->kv_stride, D);
            double ds = p[i * S + j] * (dp - along) * u->scale;
            for (int64_t d = 0; d < D; d++) {
                dq[i * D + d] += ds * k[j * u->kv_stride + d];
                dk[j * D + d] += ds * q[i * u->q_stride + d];
                dv[j * D + d] += p[i * S + j] * d_out[i * D + d];
            }
        }
    }
}

static inline void assert_rows(const th_real *got, int64_t stride, const double *want, int64_t rows,
                               int64_t columns, double tolerance)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            th_assert_close((double)got[i * stride + j], want[i * columns + j], tolerance);
}

// Sums of up to 260 terms of order 1, each rounded to 1e-16 or 6e-8.
#define TOLERANCE (sizeof(th_real) == sizeof(double) ? 1e-12 : 3e-5)

static inline void every_set_matches_plain_loops(void **state)
{
    (void)state;
    // One, a few, about a block of rows, more than one, several; head dimensions with remainders.
    static const int64_t tokens[] = { 1, 2, 8, 16, 17, 47, 48, 50, 65, 77, 97, 260 };
    static const int64_t dims[] = { 1, 5, 16, 24, 64, 80 };
    kernel_set           sets[3];
    int                  count = kernel_sets(sets);

    for (int i = 0; i < 12 * 6 * 2; i++) {
        int64_t    S = tokens[i / 12], D = dims[i / 2 % 6], stride = 3 * D + 7;
        unit_shape u = { S, 1, D, stride, stride, D, (th_real)(1 / sqrt((double)D)), i % 2 };
        th_real   *qkv = random_reals(S * stride, 1), *d_out = random_reals(S * D, 2);
        th_real   *out = random_reals(S * D, 3), *lse = random_reals(S, 4);
        th_real   *d_qkv = random_reals(S * stride, 5);
        th_real   *scratch = random_reals(th_attention_scratch(S, D), 6);
        double    *p = malloc((size_t)(S * S) * sizeof *p),
               *want = malloc((size_t)(S * D) * sizeof *p);
        double *want_lse = malloc((size_t)S * sizeof *p);
        double *d_want = malloc((size_t)(3 * S * D) * sizeof *p);

        plain_forward(&u, qkv, qkv + D, qkv + 2 * D, p, want, want_lse);
        plain_backward(&u, qkv, qkv + D, qkv + 2 * D, d_out, p, d_want, d_want + S * D,
                       d_want + 2 * S * D);
        for (int s = 0; s < count; s++) {
            sets[s].forward(&u, qkv, qkv + D, qkv + 2 * D, scratch, out, lse);
            assert_rows(out, D, want, S, D, TOLERANCE);
            assert_rows(lse, 1, want_lse, S, 1, TOLERANCE);
            sets[s].backward(&u, qkv, qkv + D, qkv + 2 * D, d_out, lse, scratch, d_qkv, d_qkv + D,
                             d_qkv + 2 * D);
            for (int part = 0; part < 3; part++)
                assert_rows(d_qkv + part * D, stride, d_want + part * S * D, S, D, TOLERANCE);
        }
        free(qkv), free(d_out), free(out), free(lse), free(d_qkv), free(scratch);
        free(p), free(want), free(want_lse), free(d_want);
    }
}

#endif
