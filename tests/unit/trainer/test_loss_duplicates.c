/* tests/unit/trainer/test_loss_duplicates.c - masks beside a comparison of each with each. */
#include "tests/test.h"

#include "base/philox.h"
#include "trainer/loss/duplicates.h"
#include <stdbool.h>

#define ROOM 40 // captions a pairing at most

struct keys {
    uint64_t row[ROOM * 3], column[ROOM * 3];
};

// Keys of so many kinds; among them the smallest and the largest number.
static struct keys random_keys(int kinds, uint64_t stream)
{
    struct keys keys;
    th_rng      rng;

    th_rng_init(&rng, 5, TH_FOR_TEST, 0, stream);
    for (int i = 0; i < ROOM * 3; i++) {
        keys.row[i] = th_rng_below(&rng, (uint64_t)kinds) - 1;
        keys.column[i] = th_rng_below(&rng, (uint64_t)kinds) - 1;
    }
    return keys;
}

// One tile beside its slow twin; `own` is where a row's own column stands.
static void check_tile(const th_duplicates *duplicates, const struct keys *keys, int64_t k,
                       const int64_t at[4], int64_t own)
{
    th_real tile[ROOM * ROOM];
    int64_t K = duplicates->K;

    for (int i = 0; i < ROOM * ROOM; i++)
        tile[i] = (th_real)i;
    th_duplicates_mask(duplicates, k, at[0], at[1], at[2], at[3], own, tile);
    for (int64_t i = 0; i < at[1]; i++)
        for (int64_t j = 0; j < at[3]; j++) {
            int64_t row = at[0] + i, column = at[2] + j, place = i * at[3] + j;
            bool    equal = keys->row[row * K + k] == keys->column[column * K + k];
            th_real want = equal && column != row + own ? TH_MASKED : (th_real)place;
            if (tile[place] != want)
                fail_msg("row %lld, column %lld, pairing %lld: %g, want %g", (long long)row,
                         (long long)column, (long long)k, (double)tile[place], (double)want);
        }
}

static void check_block(int64_t rows, int64_t columns, int64_t K, int kinds)
{
    static const int64_t owns[] = { 0, 3, -2, 1000 };
    struct keys          keys = random_keys(kinds, (uint64_t)(rows * 100 + columns + kinds));
    th_duplicates        duplicates;
    th_arena             arena = { 0 };
    th_err               err = { 0 };

    th_assert_ok(th_arena_open(&arena, th_duplicates_bytes(ROOM, ROOM, K), &err), &err);
    th_assert_ok(th_duplicates_take(ROOM, ROOM, K, &arena, &duplicates, &err), &err);
    th_duplicates_find(&duplicates, keys.row, rows, keys.column, columns);
    for (int64_t k = 0; k < K; k++)
        for (int o = 0; o < 4; o++) {
            const int64_t whole[] = { 0, rows, 0, columns };
            const int64_t corner[] = { rows / 3, rows - rows / 3, columns / 2, (columns + 1) / 3 };
            check_tile(&duplicates, &keys, k, whole, owns[o]);
            check_tile(&duplicates, &keys, k, corner, owns[o]);
        }
    th_arena_close(&arena);
}

static void what_is_equal_is_masked_and_nothing_else(void **state)
{
    static const int64_t sizes[] = { 0, 1, 2, 17, ROOM };
    static const int     kinds[] = { 1, 2, 9, 1000 };

    (void)state;
    for (int n = 0; n < 5 * 5 * 4; n++)
        for (int64_t K = 1; K <= 3; K += 2)
            check_block(sizes[n % 5], sizes[n / 5 % 5], K, kinds[n / 25]);
}

static void a_small_arena_is_an_error(void **state)
{
    th_duplicates duplicates;
    th_arena      arena = { 0 };
    th_err        err = { 0 };

    (void)state;
    th_assert_ok(th_arena_open(&arena, 4096, &err), &err);
    th_assert_error(th_duplicates_take(1000, 1000, 2, &arena, &duplicates, &err), TH_EIO, &err,
                    "could not compare 2000 captions: the arena is full");
    th_arena_close(&arena);
}

static void keys_tell_captions_apart(void **state)
{
    const int32_t a[] = { 7, 8, 9 }, b[] = { 7, 8, 10 };

    (void)state;
    assert_true(th_caption_key(a, 3) == th_caption_key((int32_t[]){ 7, 8, 9 }, 3));
    assert_true(th_caption_key(a, 3) != th_caption_key(b, 3));
    assert_true(th_caption_key(a, 2) == th_caption_key(b, 2));
    assert_true(th_caption_key(a, 3) != th_caption_key(a, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_equal_is_masked_and_nothing_else),
        cmocka_unit_test(a_small_arena_is_an_error),
        cmocka_unit_test(keys_tell_captions_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
