/* tests/parity/random_box.c - boxes of random crops, for draws that the reference makes too.
 *
 *     parity_random_box CASES OUT
 *
 * CASES holds one case after the other, in doubles of this machine: width, height, scale (2), ratio
 * (2), then DRAWS numbers in [0, 1). OUT gets left, top, width, height of each as 32-bit integers.
 * Read by tests/parity/pictures.py. */
#include "dataloader/image/image.h"

#include <stdio.h>

#define DRAWS 24 // ten tries of two, and two for the place

static double next_draw(void *context)
{
    const double **at = context;

    return *(*at)++;
}

int main(int count, char **words)
{
    FILE  *in = count == 3 ? fopen(words[1], "rb") : NULL;
    FILE  *out = in ? fopen(words[2], "wb") : NULL;
    double row[6 + DRAWS];
    int    box[4];
    _Bool  good = out;

    while (good && fread(row, sizeof row, 1, in) == 1) {
        const double *at = row + 6;
        th_image_random_box((int)row[0], (int)row[1], row + 2, row + 4, next_draw, &at, box);
        good = fwrite(box, sizeof box, 1, out) == 1;
    }
    if (out)
        good = fclose(out) == 0 && good;
    if (in)
        good = fclose(in) == 0 && good;
    return !good;
}
