// The passes of a resize in plain C, for any processor.
#include "dataloader/image/resize_private.h"

static inline int32_t weight_of(const th_tap_pair *pairs, int tap)
{
    return pairs[tap / 2].high[tap % 2] * 65536 + pairs[tap / 2].low[tap % 2];
}

static inline uint8_t rounded(int32_t sum)
{
    sum >>= TH_FRACTION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void resize_row(const th_taps *columns, const uint8_t *from, uint8_t *to)
{
    const th_tap_pair *weights = columns->weights;

    for (int i = 0; i < columns->count; i++, weights += columns->pairs, to += 3) {
        const uint8_t *at = from + (size_t)(columns->first[i] - columns->first[0]) * 3;
        int32_t        red = TH_FRACTION_HALF, green = red, blue = red;
        int            taps = columns->end[i] - columns->first[i];
        for (int j = 0; j < taps; j++, at += 3) {
            int32_t weight = weight_of(weights, j);
            red += weight * at[0];
            green += weight * at[1];
            blue += weight * at[2];
        }
        to[0] = rounded(red);
        to[1] = rounded(green);
        to[2] = rounded(blue);
    }
}

static void resize_rows(const th_taps *columns, const uint8_t *const from[TH_ROWS_AT_ONCE],
                        uint8_t *const to[TH_ROWS_AT_ONCE])
{
    for (int r = 0; r < TH_ROWS_AT_ONCE; r++)
        resize_row(columns, from[r], to[r]);
}

static void resize_column(const th_tap_pair *weights, int pairs, const uint8_t *const *rows,
                          size_t bytes, uint8_t *to)
{
    for (size_t x = 0; x < bytes; x += TH_RESIZE_BLOCK) {
        int32_t sums[TH_RESIZE_BLOCK];
        for (int k = 0; k < TH_RESIZE_BLOCK; k++)
            sums[k] = TH_FRACTION_HALF;
        for (int j = 0; j < 2 * pairs; j++) {
            const uint8_t *at = rows[j] + x;
            int32_t        weight = weight_of(weights, j);
            for (int k = 0; k < TH_RESIZE_BLOCK; k++)
                sums[k] += weight * at[k];
        }
        for (size_t k = 0; k < TH_RESIZE_BLOCK && x + k < bytes; k++)
            to[x + k] = rounded(sums[k]);
    }
}

const th_resize_kernels th_resize_plain = { resize_rows, resize_column };
