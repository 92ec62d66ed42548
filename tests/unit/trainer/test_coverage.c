/* tests/unit/trainer/test_coverage.c - rows that a cache misses, against epochs that are drawn. */
#include "tests/test.h"

#include "trainer/coverage.h"

#include <stdbool.h>

#define RECORDS 500
#define MOST    8 // captions of a record
#define RUNS    40

// The same numbers in every run of the test.
static uint64_t draw(uint64_t below)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static void shuffle(int *list, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int k = (int)draw((uint64_t)i + 1), was = list[i];
        list[i] = list[k];
        list[k] = was;
    }
}

// Meets n samples from `start` on, K of C captions each, and counts the rows that are new, in
// samples.
static double simulate(int64_t n, int64_t start, int K, int C)
{
    bool   seen[RECORDS][MOST] = { { false } };
    int    order[RECORDS], captions[MOST];
    double missed = 0;

    for (int64_t at = 0; at < start + n; at++) {
        if (at % RECORDS == 0) {
            for (int i = 0; i < RECORDS; i++)
                order[i] = i;
            shuffle(order, RECORDS);
        }
        if (at < start)
            continue;
        for (int k = 0; k < C; k++)
            captions[k] = k;
        shuffle(captions, C);
        for (int k = 0; k < K; k++) {
            bool *row = &seen[order[at % RECORDS]][captions[k]];
            missed += *row ? 0 : 1.0 / K;
            *row = true;
        }
    }
    return missed;
}

static void missed_rows_are_those_of_epochs_that_were_drawn(void **state)
{
    static const struct {
        int64_t n, start;
        int     K, C;
    } rows[] = {
        { 1, 0, 1, 1 },      { 500, 0, 1, 1 },    { 499, 499, 1, 1 }, { 2000, 0, 1, 1 },
        { 300, 350, 1, 1 },  { 700, 350, 1, 1 },  { 900, 125, 1, 1 }, { 500, 0, 1, 4 },
        { 1000, 0, 1, 4 },   { 4000, 0, 1, 4 },   { 3000, 0, 3, 8 },  { 1234, 333, 3, 8 },
        { 1500, 250, 2, 2 }, { 20000, 77, 1, 8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double again = 1 - (double)rows[i].K / rows[i].C, sum = 0;
        for (int run = 0; run < RUNS; run++)
            sum += simulate(rows[i].n, rows[i].start, rows[i].K, rows[i].C) / RUNS;
        double got = th_coverage_missed(rows[i].n, RECORDS, rows[i].start, again);
        // A draw of hundreds of records varies by a few; the mean of 40, by well below one in 100.
        if (!(got > sum - 0.01 * RECORDS - 1e-9 && got < sum + 0.01 * RECORDS + 1e-9))
            fail_msg("row %zu: %.1f missed, drawn epochs miss %.1f", i, got, sum);
    }
}

static void nothing_met_is_nothing_missed(void **state)
{
    (void)state;
    assert_true(th_coverage_missed(0, RECORDS, 0, 0) == 0);
    assert_true(th_coverage_missed(0, RECORDS, 77, 0.5) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missed_rows_are_those_of_epochs_that_were_drawn),
        cmocka_unit_test(nothing_met_is_nothing_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
