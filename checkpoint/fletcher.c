#include "checkpoint/fletcher.h"

#define LANES ((size_t)32)
#define ROWS  ((size_t)360) // most rows whose weighted sum of 16-bit words fits 32 bits

typedef struct {
    uint64_t sum, weighted; // s1 and s2 of the words so far, modulo 65535
    uint64_t any;           // not zero when a word was not
} fletcher;

// Adds rows x LANES words. The word of row r and lane j counts (rows - r) * LANES - j times in s2,
// so each lane keeps a plain sum and a sum of its sums, and lanes never meet inside the loop.
static void add_rows(fletcher *f, const uint16_t *words, size_t rows)
{
    uint32_t plain[LANES] = { 0 }, summed[LANES] = { 0 };
    uint64_t sum = 0, weighted = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < LANES; j++) {
            plain[j] += words[r * LANES + j];
            summed[j] += plain[j];
        }
    for (size_t j = 0; j < LANES; j++) {
        sum += plain[j];
        weighted += (uint64_t)summed[j] * LANES - (uint64_t)plain[j] * j;
    }
    f->weighted = (f->weighted + f->sum * rows * LANES + weighted) % 65535;
    f->sum = (f->sum + sum) % 65535;
    f->any |= sum;
}

static void add_word(fletcher *f, uint16_t word)
{
    f->sum = (f->sum + word) % 65535;
    f->weighted = (f->weighted + f->sum) % 65535;
    f->any |= word;
}

// Words are summed in this machine's byte order: swapping the bytes of a word multiplies it by 256
// modulo 65535, which can wait until the end.
static uint32_t finish(uint64_t sum, uint64_t any)
{
    uint32_t swap = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 256 : 1;
    uint32_t value = (uint32_t)(sum * swap % 65535);

    return value == 0 && any ? 65535 : value;
}

uint32_t th_fletcher32(const void *bytes, size_t size)
{
    const uint16_t *words = bytes;
    size_t          count = size / 2;
    fletcher        f = { 0 };

    while (count >= LANES) {
        size_t rows = count / LANES < ROWS ? count / LANES : ROWS;
        add_rows(&f, words, rows);
        words += rows * LANES;
        count -= rows * LANES;
    }
    for (size_t i = 0; i < count; i++)
        add_word(&f, words[i]);
    return finish(f.weighted, f.any) << 16 | finish(f.sum, f.any);
}
