#include "trainer/nn/patch.h"

void th_patches_init(th_patches *patches, int64_t size, int64_t patch, const float mean[3],
                     const float deviation[3])
{
    patches->size = size;
    patches->patch = patch;
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++)
            patches->value[c][byte] =
                (th_real)((byte / 255.0 - (double)mean[c]) / (double)deviation[c]);
}

void th_patch_rows(const th_patches *patches, const uint8_t *pixels, int64_t first, int64_t count,
                   th_real *rows)
{
    int64_t size = patches->size, patch = patches->patch, side = size / patch;
    int64_t area = patch * patch;

    for (int64_t i = first; i < first + count; i++, rows += 3 * area) {
        int64_t        image = i / (side * side), place = i % (side * side);
        const uint8_t *corner =
            pixels + ((image * size + place / side * patch) * size + place % side * patch) * 3;
        for (int64_t y = 0; y < patch; y++, corner += size * 3)
            for (int64_t x = 0; x < patch; x++)
                for (int c = 0; c < 3; c++)
                    rows[c * area + y * patch + x] = patches->value[c][corner[x * 3 + c]];
    }
}
