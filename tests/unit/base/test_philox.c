#include "base/philox.h"
#include "tests/test.h"

// Random123 1.14, tests/kat_vectors, the three lines "philox4x32 10": counter, key, result. The
// third has the digits of pi for counter and key.
static void agrees_with_published_vectors(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } vectors[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        th_philox4x32(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].want, sizeof out);
    }
}

// The layout is part of the format: a stream that moved would change every run that goes on.
static void stream_is_philox_of_its_key(void **state)
{
    const uint64_t seed = 0x0123456789abcdef, sample = 0x1122334455667788;
    const uint32_t key[2] = { 0x89abcdefu + 3u * 0x9E3779B9u, 0x01234567u };
    th_rng         rng;

    (void)state;
    th_rng_init(&rng, seed, TH_FOR_CROP, 7, sample);
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = { block, 7, 0x55667788, 0x11223344 };
        uint32_t       want[4];
        th_philox4x32(counter, key, want);
        for (int i = 0; i < 4; i++)
            assert_int_equal(th_rng_u32(&rng), want[i]);
    }
    th_rng_init(&rng, seed, TH_FOR_CROP, 7, sample);
    th_rng   low = rng;
    uint64_t first = th_rng_u32(&low), second = th_rng_u32(&low);
    assert_true(th_rng_u64(&rng) == (first | second << 32));
}

static void streams_do_not_know_of_each_other(void **state)
{
    enum { STREAMS = 6, DRAWS = 9 };
    static const struct {
        uint64_t   seed, sample;
        th_purpose purpose;
        uint32_t   epoch;
    } keys[STREAMS] = { { 1, 5, TH_FOR_CROP, 0 }, { 2, 5, TH_FOR_CROP, 0 },
                        { 1, 6, TH_FOR_CROP, 0 }, { 1, 5, TH_FOR_CAPTION, 0 },
                        { 1, 5, TH_FOR_CROP, 1 }, { UINT64_C(1) << 32 | 1, 5, TH_FOR_CROP, 0 } };
    uint64_t alone[STREAMS][DRAWS];
    th_rng   rngs[STREAMS];

    (void)state;
    for (int s = 0; s < STREAMS; s++) { // one after another
        th_rng_init(&rngs[0], keys[s].seed, keys[s].purpose, keys[s].epoch, keys[s].sample);
        for (int i = 0; i < DRAWS; i++)
            alone[s][i] = th_rng_u64(&rngs[0]);
        for (int other = 0; other < s; other++)
            assert_memory_not_equal(alone[s], alone[other], sizeof alone[s]);
    }
    for (int s = 0; s < STREAMS; s++) // all at once, the last first
        th_rng_init(&rngs[s], keys[s].seed, keys[s].purpose, keys[s].epoch, keys[s].sample);
    for (int i = 0; i < DRAWS; i++)
        for (int s = STREAMS - 1; s >= 0; s--)
            assert_true(th_rng_u64(&rngs[s]) == alone[s][i]);
}

// n = 3 * 2^62 shows a bias best: "draw mod n" gives the lowest third half of the draws, and the
// high half of draw * n without a second draw gives the multiples of three half of them. With
// 30,000 draws the deviation of a share of 1/3 is 0.0027; five of them are allowed.
static void below_is_unbiased(void **state)
{
    enum { DRAWS = 30000 };
    const uint64_t third = UINT64_C(1) << 62;
    int            shares[3] = { 0 }, rests[3] = { 0 }, small[7] = { 0 };
    th_rng         rng;

    (void)state;
    th_rng_init(&rng, 1, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t draw = th_rng_below(&rng, 3 * third);
        assert_true(draw < 3 * third);
        shares[draw / third]++;
        rests[draw % 3]++;
        small[th_rng_below(&rng, 7)]++;
        assert_int_equal(th_rng_below(&rng, 1), 0);
    }
    for (int i = 0; i < 3; i++) {
        th_assert_close((double)shares[i] / DRAWS, 1.0 / 3, 5 * 0.0027);
        th_assert_close((double)rests[i] / DRAWS, 1.0 / 3, 5 * 0.0027);
    }
    for (int i = 0; i < 7; i++) // sqrt(1/7 * 6/7 / 30000) = 0.0020
        th_assert_close((double)small[i] / DRAWS, 1.0 / 7, 5 * 0.0020);
}

// Moments of n = 200,000 draws, five standard deviations of each: mean of uniforms sqrt(1/12/n),
// mean of normals sqrt(1/n), their squares sqrt(2/n), third powers sqrt(15/n), fourth sqrt(96/n).
static void uniform_and_normal_have_their_moments(void **state)
{
    enum { DRAWS = 200000 };
    double uniform = 0, moments[5] = { 0 };
    th_rng rng;

    (void)state;
    th_rng_init(&rng, 2, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double u = th_rng_uniform(&rng), x = th_rng_normal(&rng), power = 1;
        assert_true(u >= 0 && u < 1 && isfinite(x));
        uniform += u / DRAWS;
        for (int k = 1; k < 5; k++)
            moments[k] += (power *= x) / DRAWS;
    }
    th_assert_close(uniform, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
    th_assert_close(moments[1], 0, 5 * sqrt(1.0 / DRAWS));
    th_assert_close(moments[2], 1, 5 * sqrt(2.0 / DRAWS));
    th_assert_close(moments[3], 0, 5 * sqrt(15.0 / DRAWS));
    th_assert_close(moments[4], 3, 5 * sqrt(96.0 / DRAWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_published_vectors),
        cmocka_unit_test(stream_is_philox_of_its_key),
        cmocka_unit_test(streams_do_not_know_of_each_other),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(uniform_and_normal_have_their_moments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
