/* Fixed units: every row once, and the same bits however many threads share them. */
#include "tests/unit/trainer/differences.h"
#include "trainer/nn/gemm.h"
#include "trainer/nn/linear.h"
#include "trainer/nn/units.h"

static void units_cover_every_row_once(void **state)
{
    (void)state;
    for (int64_t rows = 0; rows < 1000; rows += 37)
        for (int threads = 1; threads <= 5; threads++) {
            int64_t next[5] = { 0 }, end[5] = { 0 };
#pragma omp parallel num_threads(threads)
            {
                th_rows  mine = th_share(rows, 48);
                int      me = omp_get_thread_num();
                th_chunk c = { 0 };
                int64_t  row = mine.first;
                next[me] = mine.first;
                end[me] = mine.first + mine.count;
                for (th_walk walk = th_walk_share(rows, 48, 150); th_walk_next(&walk, &c);) {
                    if (c.first != row || c.count <= 0 || c.count > th_chunk_most(48, 150))
                        next[me] = -1;
                    row += c.count;
                }
                if (row != end[me])
                    next[me] = -1;
            }
            for (int64_t row = 0, i = 0; i < threads; i++) {
                if (end[i] > next[i])
                    assert_int_equal(next[i], row);
                assert_true(next[i] >= 0);
                row = end[i] > next[i] ? end[i] : row;
                if (i == threads - 1)
                    assert_int_equal(row, rows);
            }
        }
}

// A run of units gives the bits of the whole, wherever it begins. Shapes around the blocks of
// OpenBLAS: widths that are no multiple of a vector, products near its limit of a small one.
static void runs_of_units_have_the_bits_of_the_whole(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = { { 500, 192, 192 }, { 700, 64, 100 },  { 300, 130, 520 },
                                         { 400, 768, 64 },  { 1000, 33, 47 },  { 333, 257, 129 },
                                         { 96, 512, 512 },  { 2000, 128, 128 } };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (th_form form = TH_AS_IS; form <= TH_TRANSPOSED; form++) {
            int64_t  m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            int64_t  unit = th_unit_rows(n * k), units = th_unit_count(m, unit);
            int64_t  ldb = form == TH_AS_IS ? n : k;
            th_real *a = random_reals(m * k, 1), *b = random_reals(n * k, 2);
            th_real *whole = random_reals(m * n, 3), *part = random_reals(m * n, 3);

            th_gemm(TH_AS_IS, form, m, n, k, a, k, b, ldb, 0, whole, n);
            for (int64_t first = 0; first < units; first++)
                for (int64_t count = 1; first + count <= units; count += 2) {
                    th_rows r = th_unit_run(m, unit, first, count);
                    th_gemm(TH_AS_IS, form, r.count, n, k, a + r.first * k, k, b, ldb, 0, part, n);
                    assert_memory_equal(part, whole + r.first * n,
                                        (size_t)(r.count * n) * sizeof *part);
                }
            free(a), free(b), free(whole), free(part);
        }
}

static void weight_gradients_have_the_same_bits_on_any_number_of_threads(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = { { 455, 192, 768 }, { 455, 768, 192 }, { 900, 100, 330 },
                                         { 50, 640, 130 },  { 3000, 48, 96 },  { 7, 192, 192 },
                                         { 128, 3072, 200 } };

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t  rows = shapes[i][0], in = shapes[i][1], out = shapes[i][2];
        size_t   bytes = (size_t)(in * out) * sizeof(th_real);
        th_real *dy = random_reals(rows * out, 1), *x = random_reals(rows * in, 2);
        th_real *one = random_reals(in * out, 3), *many = random_reals(in * out, 3);

        th_linear_backward_weight_share(dy, x, rows, in, out, false, one);
        for (int threads = 2; threads <= 6; threads++) {
#pragma omp parallel num_threads(threads)
            th_linear_backward_weight_share(dy, x, rows, in, out, false, many);
            assert_memory_equal(many, one, bytes);
        }
        free(dy), free(x), free(one), free(many);
    }
}

// Outside of a region OpenBLAS would take all threads: th_gemm must not let it.
static void gemm_leaves_the_number_of_threads_alone(void **state)
{
    (void)state;
    th_real a[4] = { 1, 2, 3, 4 }, c[4];
    int     before = omp_get_max_threads();

    omp_set_num_threads(3);
    th_gemm(TH_AS_IS, TH_TRANSPOSED, 2, 2, 2, a, 2, a, 2, 0, c, 2);
    assert_int_equal(omp_get_max_threads(), 3);
    omp_set_num_threads(before);
    assert_true(c[0] == 5 && c[1] == 11 && c[2] == 11 && c[3] == 25);
    assert_true(strlen(th_gemm_core()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_cover_every_row_once),
        cmocka_unit_test(runs_of_units_have_the_bits_of_the_whole),
        cmocka_unit_test(weight_gradients_have_the_same_bits_on_any_number_of_threads),
        cmocka_unit_test(gemm_leaves_the_number_of_threads_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
