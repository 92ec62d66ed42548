#include "trainer/nn/gemm_check.h"

#include "base/philox.h"
#include "trainer/nn/gemm.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>

const char *th_gemm_library(void)
{
    return openblas_get_config();
}

bool th_gemm_is_openmp(void)
{
    return openblas_get_parallel() == OPENBLAS_OPENMP;
}

typedef struct {
    int64_t m, n, k;
} product;

static void fill(th_real *x, int64_t count, uint64_t stream)
{
    th_rng rng;

    th_rng_init(&rng, 1, TH_FOR_TEST, 0, stream);
    for (int64_t i = 0; i < count; i++)
        x[i] = (th_real)(2 * th_rng_uniform(&rng) - 1);
}

// Largest relative error of c = beta c + op(a) op(b), with c = 1 before.
static double error_of(const product *p, th_form form_a, th_form form_b, th_real beta, th_real *a,
                       th_real *b, th_real *c)
{
    int64_t lda = form_a == TH_AS_IS ? p->k : p->m, ldb = form_b == TH_AS_IS ? p->n : p->k;
    int64_t every = p->m * p->n * p->k > 4000000 ? 13 : 1; // of a large one a part is enough
    double  worst = 0;

    for (int64_t i = 0; i < p->m * p->n; i++)
        c[i] = 1;
    th_gemm(form_a, form_b, p->m, p->n, p->k, a, lda, b, ldb, beta, c, p->n);
    for (int64_t i = 0; i < p->m; i += every)
        for (int64_t j = 0; j < p->n; j += every) {
            double sum = (double)beta, size = 1;
            for (int64_t l = 0; l < p->k; l++) {
                double one = (double)(form_a == TH_AS_IS ? a[i * lda + l] : a[l * lda + i]) *
                             (double)(form_b == TH_AS_IS ? b[l * ldb + j] : b[j * ldb + l]);
                sum += one;
                size += fabs(one);
            }
            double error = fabs((double)c[i * p->n + j] - sum) / size;
            worst = error <= worst ? worst : error; // NaN stays
        }
    return worst;
}

double th_gemm_check(void)
{
    static const product products[] = {
        { 1, 1, 1 },    { 5, 7, 3 },     { 48, 64, 64 },     { 47, 33, 129 },  { 17, 192, 192 },
        { 96, 97, 65 }, { 64, 50, 300 }, { 100, 100, 1152 }, { 200, 130, 70 }, { 700, 400, 500 },
    };
    enum { MOST = 700 * 500 };
    th_real *a = malloc(MOST * sizeof *a), *b = malloc(MOST * sizeof *b);
    th_real *c = malloc(MOST * sizeof *c);
    double   worst = 0;

    if (a && b && c) {
        fill(a, MOST, 1);
        fill(b, MOST, 2);
        for (size_t i = 0; i < sizeof products / sizeof *products; i++)
            for (int form = 0; form < 8; form++) {
                double error = error_of(&products[i], form & 1 ? TH_TRANSPOSED : TH_AS_IS,
                                        form & 2 ? TH_TRANSPOSED : TH_AS_IS,
                                        (th_real)(form & 4 ? 1 : 0), a, b, c);
                worst = error <= worst ? worst : error;
            }
    } else {
        worst = NAN;
    }
    free(a);
    free(b);
    free(c);
    return worst;
}
