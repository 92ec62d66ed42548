// The passes of a resize with AVX2.
//
// Its multiplication of 16-bit numbers adds the products of two neighbours: a lane of 32 bits holds
// an output's sum, a step adds two taps to it. The sums with the weights' high and low halves are
// apart until the end.
#include "dataloader/image/resize_private.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

typedef struct {
    __m256i low, high;
} sums;

typedef struct {
    __m256i low, high; // of two taps, in each lane
} weights_of_pair;

AVX2 static inline sums no_sums(void)
{
    return (sums){ _mm256_set1_epi32(TH_FRACTION_HALF), _mm256_setzero_si256() };
}

AVX2 static inline weights_of_pair spread(const th_tap_pair *pair)
{
    int32_t low, high;

    memcpy(&low, pair->low, sizeof low);
    memcpy(&high, pair->high, sizeof high);
    return (weights_of_pair){ _mm256_set1_epi32(low), _mm256_set1_epi32(high) };
}

// `values`: in each lane those of two taps, 16 bits each.
AVX2 static inline void add(sums *s, __m256i values, weights_of_pair weights)
{
    s->low = _mm256_add_epi32(s->low, _mm256_madd_epi16(values, weights.low));
    s->high = _mm256_add_epi32(s->high, _mm256_madd_epi16(values, weights.high));
}

// Not yet cut at 0 and 255: that is done by packing.
AVX2 static inline __m256i rounded(sums s)
{
    return _mm256_srai_epi32(_mm256_add_epi32(s.low, _mm256_slli_epi32(s.high, 16)),
                             TH_FRACTION_BITS);
}

// Two pixels of either row: red and red, green and green, blue and blue, and nothing.
AVX2 static inline __m256i two_pixels(const uint8_t *upper, const uint8_t *lower)
{
    const __m256i places = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)upper));

    both = _mm256_inserti128_si256(both, _mm_loadu_si128((const __m128i *)lower), 1);
    return _mm256_shuffle_epi8(both, places);
}

static inline void put(uint8_t *to, int pixel)
{
    memcpy(to, &pixel, sizeof pixel); // the fourth byte is overwritten by the next pixel
}

AVX2 static void resize_rows(const th_taps *columns, const uint8_t *const from[TH_ROWS_AT_ONCE],
                             uint8_t *const to[TH_ROWS_AT_ONCE])
{
    const th_tap_pair *weights = columns->weights;

    for (int i = 0; i < columns->count; i++, weights += columns->pairs) {
        size_t at = (size_t)(columns->first[i] - columns->first[0]) * 3, out = (size_t)i * 3;
        sums   above = no_sums(), below = no_sums();
        for (int j = 0; j < columns->pairs; j++, at += 6) {
            weights_of_pair pair = spread(&weights[j]);
            add(&above, two_pixels(from[0] + at, from[1] + at), pair);
            add(&below, two_pixels(from[2] + at, from[3] + at), pair);
        }
        __m256i words = _mm256_packs_epi32(rounded(above), rounded(below));
        __m256i bytes = _mm256_packus_epi16(words, words);
        __m128i even = _mm256_castsi256_si128(bytes), odd = _mm256_extracti128_si256(bytes, 1);
        put(to[0] + out, _mm_cvtsi128_si32(even));
        put(to[1] + out, _mm_cvtsi128_si32(odd));
        put(to[2] + out, _mm_extract_epi32(even, 1));
        put(to[3] + out, _mm_extract_epi32(odd, 1));
    }
}

// A block of values. Unpacking and packing work within halves of a vector: what the ones take
// apart, the others join in the old order.
AVX2 static inline __m256i resize_block(const th_tap_pair *weights, int pairs,
                                        const uint8_t *const *rows, size_t x)
{
    const __m256i zero = _mm256_setzero_si256();
    sums          s[4] = { no_sums(), no_sums(), no_sums(), no_sums() };

    for (int j = 0; j < pairs; j++, rows += 2) {
        weights_of_pair pair = spread(&weights[j]);
        __m256i         upper = _mm256_loadu_si256((const __m256i *)(rows[0] + x));
        __m256i         lower = _mm256_loadu_si256((const __m256i *)(rows[1] + x));
        __m256i         left = _mm256_unpacklo_epi8(upper, lower);
        __m256i         right = _mm256_unpackhi_epi8(upper, lower);
        add(&s[0], _mm256_unpacklo_epi8(left, zero), pair);
        add(&s[1], _mm256_unpackhi_epi8(left, zero), pair);
        add(&s[2], _mm256_unpacklo_epi8(right, zero), pair);
        add(&s[3], _mm256_unpackhi_epi8(right, zero), pair);
    }
    return _mm256_packus_epi16(_mm256_packs_epi32(rounded(s[0]), rounded(s[1])),
                               _mm256_packs_epi32(rounded(s[2]), rounded(s[3])));
}

AVX2 static void resize_column(const th_tap_pair *weights, int pairs, const uint8_t *const *rows,
                               size_t bytes, uint8_t *to)
{
    size_t  x = 0;
    uint8_t last[TH_RESIZE_BLOCK];

    for (; x + TH_RESIZE_BLOCK <= bytes; x += TH_RESIZE_BLOCK)
        _mm256_storeu_si256((__m256i *)(to + x), resize_block(weights, pairs, rows, x));
    if (x < bytes) {
        _mm256_storeu_si256((__m256i *)last, resize_block(weights, pairs, rows, x));
        memcpy(to + x, last, bytes - x);
    }
}

const th_resize_kernels th_resize_avx2 = { resize_rows, resize_column };
#endif
