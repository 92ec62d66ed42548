// Gradient buckets: the sum is right, touches nothing else, and has the same bits on every rank and
// in every repetition, whoever arrives first.
#include "tests/mpi/mpi_test.h"

#include "base/philox.h"
#include "comm/mpi_private.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

static th_world *const world = &th_mpi_world;

// An arena like a model's: backward completes it from its end. Buckets of 5 numbers, of one page,
// of over 64 KiB (where Open MPI changes its algorithm when it may), an empty one; gaps between
// some.
enum { ARENA = 120000 };
static const th_bucket cut[] = {
    { 60000, 60000 }, { 30000, 29990 }, { 30000, 0 }, { 5000, 1024 }, { 0, 5 },
};
enum { BUCKETS = sizeof cut / sizeof *cut };

static bool in_a_bucket(int64_t i)
{
    for (int b = 0; b < BUCKETS; b++)
        if (i >= cut[b].first && i < cut[b].first + cut[b].count)
            return true;
    return false;
}

// Numbers of both signs and of many sizes, so that another order of adding gives other bits.
static void fill(double *out, int rank)
{
    th_rng rng;

    th_rng_init(&rng, 3, TH_FOR_TEST, 0, (uint64_t)rank);
    for (int64_t i = 0; i < ARENA; i++)
        out[i] = th_rng_normal(&rng) * pow(2.0, 24.0 * th_rng_uniform(&rng));
}

typedef struct {
    double *mine;   // [ARENA]  this rank's gradient in double
    double *sum;    // [ARENA]  added in double, in rank order
    double *size;   // [ARENA]  sum of absolute values: the scale of rounding errors
    float  *single; // [ARENA]
} numbers;

static numbers numbers_open(void)
{
    numbers n = { malloc(ARENA * sizeof(double)), calloc(ARENA, sizeof(double)),
                  calloc(ARENA, sizeof(double)), malloc(ARENA * sizeof(float)) };

    assert_true(n.mine && n.sum && n.size && n.single);
    for (int rank = 0; rank < world->size; rank++) {
        fill(n.mine, rank);
        for (int64_t i = 0; i < ARENA; i++) {
            n.sum[i] += (float)n.mine[i]; // exactly what the float arena holds
            n.size[i] += fabs((float)n.mine[i]);
        }
    }
    fill(n.mine, world->rank);
    for (int64_t i = 0; i < ARENA; i++)
        n.mine[i] = n.single[i] = (float)n.mine[i];
    return n;
}

static void numbers_close(numbers *n)
{
    free(n->mine);
    free(n->sum);
    free(n->size);
    free(n->single);
}

// One step as the trainer does it: buckets start in order, are driven in between, then waited for.
// `delay` makes ranks arrive in another order each time.
static void reduce(th_buckets *buckets, int delay)
{
    th_err err = { 0 };

    for (int b = 0; b < BUCKETS; b++) {
        (void)usleep((useconds_t)((world->rank * 7 + delay * 3 + b) % 5) * 200);
        th_assert_ok(th_buckets_start(buckets, b, &err), &err);
        th_assert_ok(th_buckets_drive(buckets, &err), &err);
    }
    th_assert_ok(th_buckets_finish(buckets, &err), &err);
    th_assert_ok(th_buckets_drive(buckets, &err), &err); // nothing under way
}

// Tolerance: a sum of W floats, in any order, is off by at most (W - 1) half units in the last
// place of partial sums that no order makes larger than the sum of absolute values.
static void sums_are_right_and_gaps_stay(void **state)
{
    (void)state;
    for (int limit = 999; limit <= INT_MAX / 2; limit = limit < 70000 ? 70000 : INT_MAX / 2 + 1) {
        numbers     n = numbers_open();
        th_buckets *buckets = NULL;
        th_err      err = { 0 };
        th_assert_ok(
            th_buckets_open_limit(world, n.single, TH_FLOAT, cut, BUCKETS, limit, &buckets, &err),
            &err);
        reduce(buckets, 0);
        for (int64_t i = 0; i < ARENA; i++) {
            double want = in_a_bucket(i) ? n.sum[i] : n.mine[i];
            double off = fabs(n.single[i] - want);
            double allowed =
                in_a_bucket(i) ? (world->size - 1) * 0.5 * FLT_EPSILON * n.size[i] : 0.0;
            if (!(off <= allowed))
                fail_msg("element %lld, pieces of %d: got %.9g, want %.9g, off by %.3g, allowed "
                         "%.3g",
                         (long long)i, limit, n.single[i], want, off, allowed);
        }
        th_buckets_close(buckets);
        numbers_close(&n);
    }
}

static void double_arenas_are_summed_in_double(void **state)
{
    (void)state;
    numbers     n = numbers_open();
    th_buckets *buckets = NULL;
    th_err      err = { 0 };

    th_assert_ok(th_buckets_open(world, n.mine, TH_FLOAT64, cut, BUCKETS, &buckets, &err), &err);
    reduce(buckets, 0);
    for (int64_t i = 0; i < ARENA; i++)
        if (in_a_bucket(i))
            assert_true(fabs(n.mine[i] - n.sum[i]) <= (world->size - 1) * DBL_EPSILON * n.size[i]);
    th_buckets_close(buckets);
    numbers_close(&n);
}

// The numbers must be able to tell one order of adding from another, or the next test proves
// little.
static void the_numbers_depend_on_the_order(void **state)
{
    (void)state;
    double *of_rank = malloc(ARENA * sizeof(double));
    float  *up = calloc(ARENA, sizeof(float)), *down = calloc(ARENA, sizeof(float));
    int     differ = 0;

    assert_true(of_rank && up && down);
    for (int k = 0; k < world->size; k++) {
        fill(of_rank, k);
        for (int64_t i = 0; i < ARENA; i++)
            up[i] += (float)of_rank[i];
        fill(of_rank, world->size - 1 - k);
        for (int64_t i = 0; i < ARENA; i++)
            down[i] += (float)of_rank[i];
    }
    for (int64_t i = 0; i < ARENA; i++)
        differ += up[i] != down[i];
    if (world->size < 3)
        assert_int_equal(differ, 0); // a + b is b + a
    else
        assert_true(differ > ARENA / 20);
    free(of_rank);
    free(up);
    free(down);
}

static void all_ranks_have_the_same_bits_in_every_repetition(void **state)
{
    (void)state;
    numbers     n = numbers_open();
    float      *first = malloc(ARENA * sizeof(float)), *root = malloc(ARENA * sizeof(float));
    th_buckets *buckets = NULL;
    th_err      err = { 0 };

    assert_true(first && root);
    th_assert_ok(th_buckets_open(world, n.single, TH_FLOAT, cut, BUCKETS, &buckets, &err), &err);
    for (int round = 0; round < 15; round++) {
        for (int64_t i = 0; i < ARENA; i++)
            n.single[i] = in_a_bucket(i) ? (float)n.mine[i] : 0.0f;
        reduce(buckets, round);
        if (round == 0)
            memcpy(first, n.single, ARENA * sizeof(float));
        assert_memory_equal(n.single, first, ARENA * sizeof(float));
        memcpy(root, n.single, ARENA * sizeof(float));
        th_assert_ok(th_world_broadcast(world, root, ARENA * sizeof(float), 0, &err), &err);
        assert_memory_equal(n.single, root, ARENA * sizeof(float));
    }
    th_buckets_close(buckets);
    numbers_close(&n);
    free(first);
    free(root);
}

// Elements are added one by one: where a bucket is cut into pieces cannot show in the result.
static void pieces_do_not_change_bits(void **state)
{
    (void)state;
    numbers     whole = numbers_open(), pieces = numbers_open();
    th_buckets *a = NULL, *b = NULL;
    th_err      err = { 0 };

    th_assert_ok(th_buckets_open(world, whole.single, TH_FLOAT, cut, BUCKETS, &a, &err), &err);
    th_assert_ok(
        th_buckets_open_limit(world, pieces.single, TH_FLOAT, cut, BUCKETS, 1000, &b, &err), &err);
    reduce(a, 0);
    reduce(b, 1);
    assert_memory_equal(whole.single, pieces.single, ARENA * sizeof(float));
    th_buckets_close(a);
    th_buckets_close(b);
    numbers_close(&whole);
    numbers_close(&pieces);
}

// A stage that trains only the head starts only some of the buckets.
static void buckets_not_started_are_not_summed(void **state)
{
    (void)state;
    float           arena[] = { 1, 2, 3, 4 };
    const th_bucket two[] = { { 2, 2 }, { 0, 2 } };
    const float     sum = 3.0f * (float)world->size;
    th_buckets     *buckets = NULL;
    th_err          err = { 0 };

    th_assert_ok(th_buckets_open(world, arena, TH_FLOAT, two, 2, &buckets, &err), &err);
    th_assert_ok(th_buckets_start(buckets, 0, &err), &err);
    th_assert_ok(th_buckets_finish(buckets, &err), &err);
    assert_true(arena[0] == 1 && arena[1] == 2);
    assert_true(arena[2] == sum);
    th_buckets_close(buckets);
}

// Found before anything of that size is allocated or touched.
static void too_many_pieces_are_refused(void **state)
{
    (void)state;
    const th_bucket vast = { 0, (int64_t)1 << 40 };
    th_buckets     *buckets = NULL;
    th_err          err = { 0 };

    assert_int_equal(th_buckets_open_limit(world, NULL, TH_FLOAT, &vast, 1, 100, &buckets, &err),
                     TH_EUSAGE);
    assert_null(buckets);
}

static void no_buckets_at_all_are_fine(void **state)
{
    (void)state;
    th_buckets *buckets = NULL;
    th_err      err = { 0 };

    th_assert_ok(th_buckets_open(world, NULL, TH_FLOAT, NULL, 0, &buckets, &err), &err);
    th_assert_ok(th_buckets_drive(buckets, &err), &err);
    th_assert_ok(th_buckets_finish(buckets, &err), &err);
    th_buckets_close(buckets);
    th_buckets_close(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_right_and_gaps_stay),
        cmocka_unit_test(double_arenas_are_summed_in_double),
        cmocka_unit_test(the_numbers_depend_on_the_order),
        cmocka_unit_test(all_ranks_have_the_same_bits_in_every_repetition),
        cmocka_unit_test(pieces_do_not_change_bits),
        cmocka_unit_test(buckets_not_started_are_not_summed),
        cmocka_unit_test(too_many_pieces_are_refused),
        cmocka_unit_test(no_buckets_at_all_are_fine),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
