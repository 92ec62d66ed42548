/* tests/unit/trainer/steady_cases.h - the steady product of every instruction set that this
 * processor has: right, the same bits wherever a row stands, and nothing beside c. In float and in
 * double. */
#include "tests/unit/trainer/differences.h"
#include "trainer/nn/steady_private.h"

typedef struct {
    const char    *name;
    steady_kernel *kernel;
    bool           fused;
} kernel_set;

static int kernel_sets(kernel_set out[3])
{
    int count = 0;
    out[count++] = (kernel_set){ "any", th_steady_any, false };
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[count++] = (kernel_set){ "avx2", th_steady_avx2, true };
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[count++] = (kernel_set){ "avx512", th_steady_avx512, true };
#endif
    return count;
}

// Around the tiles (4 and 6 rows, 4 to 64 columns) and the panels (64 or 128 deep).
static const struct steady_shape {
    int64_t m, n, k;
} shapes[] = { { 1, 1, 1 },     { 3, 5, 2 },   { 6, 64, 128 },   { 13, 65, 129 }, { 7, 63, 300 },
               { 50, 130, 64 }, { 5, 20, 24 }, { 12, 128, 256 }, { 31, 33, 131 }, { 4, 200, 7 } };
#define SHAPES (sizeof shapes / sizeof *shapes)
#define GAP    3 // elements between the rows of each matrix

// k additions of products, each rounded to half an ulp of what has been added up: at most k + 1
// ulps of the sum of sizes.
static void assert_plain(const kernel_set *set, const struct steady_shape *s, th_form form,
                         bool add)
{
    int64_t  lda = s->k + GAP, ldb = (form == TH_AS_IS ? s->n : s->k) + GAP, ldc = s->n + GAP;
    double   ulp = sizeof(th_real) == sizeof(float) ? 1.2e-7 : 2.3e-16;
    th_real *a = random_reals(s->m * lda, 1);
    th_real *b = random_reals((form == TH_AS_IS ? s->k : s->n) * ldb, 2);
    th_real *c = random_reals(s->m * ldc, 3), *before = random_reals(s->m * ldc, 3);

    set->kernel(form, s->m, s->n, s->k, a, lda, b, ldb, add, c, ldc);
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < ldc; j++) {
            double sum = add || j >= s->n ? (double)before[i * ldc + j] : 0, size = fabs(sum);
            for (int64_t p = 0; j < s->n && p < s->k; p++) {
                double one = (double)a[i * lda + p] *
                             (double)(form == TH_AS_IS ? b[p * ldb + j] : b[j * ldb + p]);
                sum += one;
                size += fabs(one);
            }
            th_assert_close(c[i * ldc + j], sum, j < s->n ? (double)(s->k + 1) * ulp * size : 0);
        }
    free(a), free(b), free(c), free(before);
}

static void every_set_matches_plain_sums(void **state)
{
    kernel_set sets[3];
    int        count = kernel_sets(sets);

    (void)state;
    for (int set = 0; set < count; set++)
        for (size_t s = 0; s < SHAPES; s++)
            for (int way = 0; way < 4; way++)
                assert_plain(&sets[set], &shapes[s], way & 1 ? TH_TRANSPOSED : TH_AS_IS, way & 2);
}

// A row alone, and any run of rows, in the bits of the whole.
static void a_row_has_the_same_bits_wherever_it_stands(void **state)
{
    kernel_set sets[3];
    int        count = kernel_sets(sets);

    (void)state;
    for (int set = 0; set < count; set++)
        for (size_t s = 0; s < SHAPES; s++) {
            int64_t  m = shapes[s].m, n = shapes[s].n, k = shapes[s].k;
            th_real *a = random_reals(m * k, 1), *b = random_reals(n * k, 2);
            th_real *whole = random_reals(m * n, 3), *part = random_reals(m * n, 3);
            sets[set].kernel(TH_TRANSPOSED, m, n, k, a, k, b, k, false, whole, n);
            for (int64_t first = 0; first < m; first++)
                for (int64_t rows = 1; first + rows <= m; rows++) {
                    sets[set].kernel(TH_TRANSPOSED, rows, n, k, a + first * k, k, b, k, false, part,
                                     n);
                    assert_memory_equal(part, whole + first * n, (size_t)(rows * n) * sizeof *part);
                }
            free(a), free(b), free(whole), free(part);
        }
}

// The length of a vector does not count, and neither does in which form the weights stand.
static void sets_with_fused_multiply_add_have_the_same_bits(void **state)
{
    kernel_set sets[3];
    int        count = kernel_sets(sets);

    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        int64_t  m = shapes[s].m, n = shapes[s].n, k = shapes[s].k;
        th_real *a = random_reals(m * k, 1), *b = random_reals(n * k, 2);
        th_real *bt = random_reals(n * k, 2), *first = NULL;
        for (int64_t j = 0; j < n; j++)
            for (int64_t p = 0; p < k; p++)
                bt[p * n + j] = b[j * k + p];
        for (int set = 0; set < count; set++)
            for (int way = 0; sets[set].fused && way < 2; way++) {
                th_real *c = random_reals(m * n, 3);
                if (way == 0)
                    sets[set].kernel(TH_TRANSPOSED, m, n, k, a, k, b, k, true, c, n);
                else
                    sets[set].kernel(TH_AS_IS, m, n, k, a, k, bt, n, true, c, n);
                if (first)
                    assert_memory_equal(c, first, (size_t)(m * n) * sizeof *c);
                first = first ? (free(c), first) : c;
            }
        free(a), free(b), free(bt), free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_matches_plain_sums),
        cmocka_unit_test(a_row_has_the_same_bits_wherever_it_stands),
        cmocka_unit_test(sets_with_fused_multiply_add_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
