#include "base/philox.h"
#include "dataloader/order.h"
#include "tests/test.h"

#include <time.h>

static const int64_t sizes[] = { 1,   2,    3,    5,     63,    64,    65,    127,
                                 128, 1000, 4096, 16383, 16384, 16385, 32775, 100003 };
#define SIZES ((int)(sizeof sizes / sizeof *sizes))

// Every record once in each epoch.
static void every_epoch_is_a_permutation(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        int64_t        n = sizes[s];
        th_order       order = { .seed = 42, .records = n, .shuffled = true };
        unsigned char *seen = malloc((size_t)n);
        assert_non_null(seen);
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            memset(seen, 0, (size_t)n);
            for (int64_t p = epoch * n; p < (epoch + 1) * n; p++) {
                int64_t record = th_order_record(&order, p);
                assert_int_equal(th_order_epoch(&order, p), epoch);
                assert_in_range(record, 0, n - 1);
                assert_int_equal(seen[record]++, 0);
            }
        }
        free(seen);
    }
}

static void sequential_is_the_record_number(void **state)
{
    (void)state;
    th_order order = { .seed = 3, .records = 1000 };

    for (int64_t p = 0; p < 2500; p++)
        assert_int_equal(th_order_record(&order, p), p % 1000);
}

// Places at which two orders of n records have the same one. For random permutations this is
// Poisson with mean 1, which is above 9 in one of 10 million.
static int agreements(const th_order *a, int64_t from_a, const th_order *b, int64_t from_b)
{
    int same = 0;

    for (int64_t i = 0; i < a->records; i++)
        same += th_order_record(a, from_a + i) == th_order_record(b, from_b + i);
    return same;
}

static void epochs_and_seeds_differ(void **state)
{
    (void)state;
    for (int64_t n = 1000; n < 100000; n = n * 5 + 1) {
        th_order one = { .seed = 1, .records = n, .shuffled = true };
        th_order two = { .seed = 2, .records = n, .shuffled = true };
        th_order high = { .seed = 1 | (uint64_t)1 << 32, .records = n, .shuffled = true };
        assert_in_range(agreements(&one, 0, &one, n), 0, 9);
        assert_in_range(agreements(&one, n, &one, 7 * n), 0, 9);
        assert_in_range(agreements(&one, 0, &two, 0), 0, 9);
        assert_in_range(agreements(&one, 0, &high, 0), 0, 9);
    }
}

// The order is part of the format: a run that goes on with another order repeats samples and skips
// others. So these values never change. They were computed by a second implementation, in Python.
static void order_is_frozen(void **state)
{
    (void)state;
    static const int64_t small[] = { 47, 57, 71, 88, 4, 28, 69, 74 };
    static const int64_t large[] = { 108047364, 398570570, 947066045, 810922119,
                                     345999890, 922288491, 956276352, 516396288 };
    th_order             a = { .seed = 1, .records = 100, .shuffled = true };
    th_order             b = { .seed = 0x123456789ABCDEF, .records = 1000000007, .shuffled = true };

    for (int i = 0; i < 8; i++) {
        assert_int_equal(th_order_record(&a, i), small[i]);
        assert_int_equal(th_order_record(&b, 12345678901 + i), large[i]);
    }
}

static void windows_are_made_of_whole_blocks(void **state)
{
    (void)state;
    enum { N = 2 * TH_ORDER_WINDOW + 1000 }; // 528 whole blocks and 8 records
    th_order order = { .seed = 5, .records = N, .shuffled = true };

    for (int64_t window = 0; window < 3; window++) {
        int64_t begin = window * TH_ORDER_WINDOW;
        int64_t length = window < 2 ? TH_ORDER_WINDOW : N - begin;
        int    *blocks = calloc(N, sizeof *blocks);
        int64_t first = -1;
        assert_non_null(blocks);
        // Marked in record order, a window's records are runs of a multiple of 64; the last window
        // also has the rest of 8.
        for (int64_t p = begin; p < begin + length; p++)
            blocks[th_order_record(&order, p)] = 1;
        for (int64_t i = 0; i < N && first < 0; i++)
            if (!blocks[i] && blocks[(i + 1) % N])
                first = (i + 1) % N;
        assert_true(first >= 0);
        int64_t run = 0, odd = 0;
        for (int64_t i = 0; i <= N; i++) {
            if (blocks[(first + i) % N] && i < N) {
                run++;
            } else {
                odd += run % TH_ORDER_BLOCK != 0;
                run = 0;
            }
        }
        assert_int_equal(odd, window < 2 ? 0 : 1);
        free(blocks);
    }
}

// Reads stay near each other: a window touches at most its own share of blocks.
static void window_reads_its_own_blocks(void **state)
{
    (void)state;
    enum { N = 1 << 20, BLOCKS = N / TH_ORDER_BLOCK };
    static unsigned char touched[BLOCKS + 1];
    th_order             order = { .seed = 9, .records = N, .shuffled = true };

    for (int64_t window = 0; window < N / TH_ORDER_WINDOW; window += 7) {
        int count = 0;
        memset(touched, 0, sizeof touched);
        for (int64_t i = 0; i < TH_ORDER_WINDOW; i++)
            touched[th_order_record(&order, window * TH_ORDER_WINDOW + i) / TH_ORDER_BLOCK] = 1;
        for (int i = 0; i <= BLOCKS; i++)
            count += touched[i];
        // 256 blocks, each of which may begin in the middle of an aligned one.
        assert_in_range(count, TH_ORDER_WINDOW / TH_ORDER_BLOCK,
                        2 * TH_ORDER_WINDOW / TH_ORDER_BLOCK);
    }
}

// chi^2 with k - 1 degrees of freedom has mean k - 1 and deviation sqrt(2 (k - 1)): beyond 5
// deviations in one of a million, were the draws random. Seeds are fixed, so this fails or it does
// not.
static void assert_even(const int *counts, int cells, double expected)
{
    double chi = 0;

    for (int i = 0; i < cells; i++)
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    th_assert_close(chi, cells - 1.0, 5 * sqrt(2.0 * (cells - 1)));
}

static void places_are_even(void **state)
{
    (void)state;
    enum { N = 1000, CELLS = 20, EPOCHS = 20000 };
    th_order order = { .seed = 11, .records = N, .shuffled = true };
    int      first[CELLS] = { 0 }, last[CELLS] = { 0 }, pairs[CELLS] = { 0 };

    // Which record stands first, which last, and how far the second is from the first one.
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t a = th_order_record(&order, epoch * N);
        int64_t b = th_order_record(&order, epoch * N + 1);
        first[a * CELLS / N]++;
        last[th_order_record(&order, epoch * N + N - 1) * CELLS / N]++;
        // Two neighbours differ by anything but 0: 999 distances, of which the last 999 / 20 are
        // cut off by the whole division only for the last cell.
        pairs[((b - a + N) % N - 1) * CELLS / (N - 1)]++;
    }
    assert_even(first, CELLS, (double)EPOCHS / CELLS);
    assert_even(last, CELLS, (double)EPOCHS / CELLS);
    assert_even(pairs, CELLS, (double)EPOCHS / CELLS);
}

// Small sets too: all 6 orders of three records come equally often.
static void orders_of_three_are_even(void **state)
{
    (void)state;
    enum { EPOCHS = 60000 };
    th_order order = { .seed = 12, .records = 3, .shuffled = true };
    int      counts[9] = { 0 }, orders[6];

    for (int64_t epoch = 0; epoch < EPOCHS; epoch++)
        counts[th_order_record(&order, 3 * epoch) * 3 + th_order_record(&order, 3 * epoch + 1)]++;
    for (int i = 0, at = 0; i < 9; i++)
        if (i / 3 != i % 3)
            orders[at++] = counts[i];
    assert_even(orders, 6, EPOCHS / 6.0);
}

// O(1): a call costs the same for any number of records. Not a timed test: the number is shown, and
// only what no machine of today needs (0.1 ms) fails.
static void a_call_is_cheap(void **state)
{
    (void)state;
    for (int64_t n = 1000; n < (int64_t)1e13; n *= 1000) {
        enum { CALLS = 200000 };
        th_order        order = { .seed = 1, .records = n, .shuffled = true };
        struct timespec begin, end;
        int64_t         sum = 0;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int64_t p = 0; p < CALLS; p++)
            sum += th_order_record(&order, p * 7919);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double ns =
            ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
            CALLS;
        print_message("%lld records: %.0f ns a call (sum %lld)\n", (long long)n, ns,
                      (long long)sum);
        assert_true(ns < 1e5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(sequential_is_the_record_number),
        cmocka_unit_test(epochs_and_seeds_differ),
        cmocka_unit_test(order_is_frozen),
        cmocka_unit_test(windows_are_made_of_whole_blocks),
        cmocka_unit_test(window_reads_its_own_blocks),
        cmocka_unit_test(places_are_even),
        cmocka_unit_test(orders_of_three_are_even),
        cmocka_unit_test(a_call_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
