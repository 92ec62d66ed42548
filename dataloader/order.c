#include "dataloader/order.h"

#include "base/philox.h"

#define ROUNDS 6

// Round keys, drawn once for a permutation.
typedef struct {
    uint32_t round[ROUNDS];
} keys;

// A stream's purpose within TH_FOR_ORDER: 0 is the order of blocks, 1 + w that inside window w.
static void draw(const th_order *order, int64_t epoch, uint64_t stream, th_rng *out_rng, keys *out)
{
    th_rng_init(out_rng, order->seed, TH_FOR_ORDER, (uint32_t)epoch, stream);
    for (int i = 0; i < ROUNDS; i++)
        out->round[i] = th_rng_u32(out_rng);
}

// 32 bits to 32 bits, each of which depends on all: MurmurHash3's finalizer (Appleby, public
// domain). Philox as the round function would cost ten times as much and the order shows no
// difference.
static uint32_t mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

// Where place x of n goes, 0 <= x < n. A Feistel network permutes [0, 4^half) whatever its round
// function is; going on from a place outside of [0, n) until one is inside permutes [0, n) (Black
// and Rogaway 2002, "Ciphers with arbitrary finite domains"). 4^half is below 4 n, so that this
// takes fewer than 4 rounds on average; it is at least 64, as very small networks mix badly.
static uint64_t permute(const keys *k, uint64_t n, uint64_t x)
{
    int half = 3;

    while (half < 31 && (uint64_t)1 << (2 * half) < n)
        half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        uint32_t left = (uint32_t)(x >> half), right = (uint32_t)x & mask;
        for (int i = 0; i < ROUNDS; i++) {
            uint32_t next = left ^ (mix(right ^ k->round[i]) & mask);
            left = right;
            right = next;
        }
        x = (uint64_t)left << half | right;
    } while (x >= n);
    return x;
}

int64_t th_order_epoch(const th_order *order, int64_t position)
{
    return position / order->records;
}

int64_t th_order_record(const th_order *order, int64_t position)
{
    int64_t epoch = position / order->records, place = position % order->records;
    keys    inside, blocks;
    th_rng  rng;

    if (!order->shuffled)
        return place;

    int64_t window = place / TH_ORDER_WINDOW, begin = window * TH_ORDER_WINDOW;
    int64_t length = order->records - begin;
    if (length > TH_ORDER_WINDOW)
        length = TH_ORDER_WINDOW;
    draw(order, epoch, 1 + (uint64_t)window, &rng, &inside);
    place = begin + (int64_t)permute(&inside, (uint64_t)length, (uint64_t)(place - begin));

    // Whole blocks change places; the rest of fewer than a block stays at the end. Block 0 begins
    // at another record in each epoch, so that other records meet in a block and others are the
    // rest.
    draw(order, epoch, 0, &rng, &blocks);
    uint64_t shift = th_rng_below(&rng, (uint64_t)order->records);
    int64_t  block = place / TH_ORDER_BLOCK, whole = order->records / TH_ORDER_BLOCK;
    if (block < whole)
        place = (int64_t)permute(&blocks, (uint64_t)whole, (uint64_t)block) * TH_ORDER_BLOCK +
                place % TH_ORDER_BLOCK;
    return (int64_t)(((uint64_t)place + shift) % (uint64_t)order->records);
}
