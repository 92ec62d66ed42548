#include "base/philox.h"

#include <math.h>

// Multipliers and key increments of Philox4x32, table 2 and section 4.3 of the paper; the key
// increments are the golden ratio and sqrt(3) - 1 in 32 bits.
#define MULTIPLY_0  0xD2511F53u
#define MULTIPLY_1  0xCD9E8D57u
#define KEY_STEP_0  0x9E3779B9u
#define KEY_STEP_1  0xBB67AE85u
#define ROUND_COUNT 10

void th_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < ROUND_COUNT; round++) {
        uint64_t left = (uint64_t)MULTIPLY_0 * c0, right = (uint64_t)MULTIPLY_1 * c2;
        c0 = (uint32_t)(right >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)right;
        c2 = (uint32_t)(left >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)left;
        k0 += KEY_STEP_0;
        k1 += KEY_STEP_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void th_rng_init(th_rng *rng, uint64_t seed, th_purpose purpose, uint32_t epoch, uint64_t sample)
{
    *rng = (th_rng){
        .key = { (uint32_t)seed + (uint32_t)purpose * 0x9E3779B9u, (uint32_t)(seed >> 32) },
        .counter = { 0, epoch, (uint32_t)sample, (uint32_t)(sample >> 32) },
    };
}

uint32_t th_rng_u32(th_rng *rng)
{
    if (rng->left == 0) {
        th_philox4x32(rng->counter, rng->key, rng->block);
        rng->counter[0]++; // 2^34 words in a stream, then it begins again
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

uint64_t th_rng_u64(th_rng *rng)
{
    uint64_t low = th_rng_u32(rng);

    return low | (uint64_t)th_rng_u32(rng) << 32;
}

// Lemire 2019, "Fast random integer generation in an interval", arXiv:1805.10941: the high half of
// draw * n, where the 2^64 mod n low halves that make some results likelier are drawn again.
uint64_t th_rng_below(th_rng *rng, uint64_t n)
{
    unsigned __int128 product = (unsigned __int128)th_rng_u64(rng) * n;

    if ((uint64_t)product < n) {
        uint64_t uneven = -n % n; // 2^64 mod n
        while ((uint64_t)product < uneven)
            product = (unsigned __int128)th_rng_u64(rng) * n;
    }
    return (uint64_t)(product >> 64);
}

double th_rng_uniform(th_rng *rng)
{
    return (double)(th_rng_u64(rng) >> 11) * 0x1p-53;
}

// The second normal of the pair is not kept: a stream's state stays its place in the stream.
double th_rng_normal(th_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - th_rng_uniform(rng))); // 1 - u is never 0

    return radius * cos(2.0 * M_PI * th_rng_uniform(rng));
}
