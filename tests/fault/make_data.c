/* tests/fault/make_data.c - pictures and captions that a tiny model can learn: a colour, a shape
 * and a place each. `make_data FOLDER COUNT` writes FOLDER/0000.png ... and FOLDER/pictures.tsv. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 16

static const struct {
    const char *name;
    png_byte    rgb[3];
} colours[] = { { "red", { 220, 30, 30 } },     { "green", { 30, 180, 40 } },
                { "blue", { 30, 60, 220 } },    { "yellow", { 240, 220, 40 } },
                { "violet", { 150, 50, 200 } }, { "orange", { 250, 140, 20 } },
                { "black", { 10, 10, 10 } },    { "grey", { 130, 130, 130 } } };
static const char *const shapes[] = { "square", "disc", "bar", "column", "cross" };
static const char *const places[] = { "left", "right", "top", "bottom", "middle" };

static int inside(int shape, int x, int y) // of a shape around 0, 0
{
    switch (shape) {
    case 0:
        return abs(x) < 4 && abs(y) < 4;
    case 1:
        return x * x + y * y < 20;
    case 2:
        return abs(x) < 5 && abs(y) < 2;
    case 3:
        return abs(x) < 2 && abs(y) < 5;
    default:
        return (abs(x) < 2 && abs(y) < 5) || (abs(x) < 5 && abs(y) < 2);
    }
}

int main(int argc, char **argv)
{
    char path[4096];
    int  count = argc == 3 ? atoi(argv[2]) : 0;

    if (count < 1 || snprintf(path, sizeof path, "%s/pictures.tsv", argv[1]) >= (int)sizeof path)
        return 2;
    FILE *table = fopen(path, "w");
    if (!table)
        return 1;
    fprintf(table, "filepath\ttitle\n");
    for (int i = 0; i < count; i++) {
        png_byte pixels[SIDE * SIDE * 3];
        int      colour = i % 8, shape = i / 8 % 5, place = i / 40 % 5;
        int x0 = place == 0 ? 5 : place == 1 ? 11 : 8, y0 = place == 2 ? 5 : place == 3 ? 11 : 8;
        png_image image = {
            .version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB
        };
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int c = 0; c < 3; c++) // the background tells apart what repeats
                    pixels[(y * SIDE + x) * 3 + c] = inside(shape, x - x0, y - y0)
                                                         ? colours[colour].rgb[c]
                                                         : (png_byte)(255 - i / 200 * 20);
        if (snprintf(path, sizeof path, "%s/%04d.png", argv[1], i) >= (int)sizeof path ||
            !png_image_write_to_file(&image, path, 0, pixels, 0, NULL))
            return 1;
        fprintf(table, "%04d.png\ta %s %s at the %s\n%04d.png\t%s %s number %d\n", i,
                colours[colour].name, shapes[shape], places[place], i, colours[colour].name,
                shapes[shape], i);
    }
    return fclose(table) == 0 ? 0 : 1;
}
