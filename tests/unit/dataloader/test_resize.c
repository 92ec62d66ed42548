// The resize against a float64 reference written from its definition, and against itself.
// tests/fault/resize_pillow.sh compares the bits with Pillow's, through this program:
//     unit_dataloader_resize FILE     reads cases written by Pillow and compares them
#include "tests/test.h"
#include "tests/unit/dataloader/make_picture.h"

#include <inttypes.h>

static double cubic(double x)
{
    x = fabs(x);
    return x < 1   ? 1.5 * x * x * x - 2.5 * x * x + 1
           : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
                   : 0;
}

// The weight of input pixel j for output pixel i, all in double; not yet normalised.
static double weight_of(int i, int j, double low, double high, int outputs)
{
    double scale = (high - low) / outputs, stretch = scale < 1 ? 1 : scale;

    return cubic((j + 0.5 - (low + (i + 0.5) * scale)) / stretch);
}

static double clamp(double value)
{
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

// One pass in double along rows (of `stride` = 3 doubles between neighbours) or columns.
static void reference_pass(const double *in, int inputs, double low, double high, int outputs,
                           size_t step, double *out, size_t out_step)
{
    for (int i = 0; i < outputs; i++) {
        double sum = 0, total = 0;
        for (int j = 0; j < inputs; j++) {
            double weight = weight_of(i, j, low, high, outputs);
            sum += weight * in[(size_t)j * step];
            total += weight;
        }
        out[(size_t)i * out_step] = clamp(sum / total);
    }
}

// The picture that exact arithmetic gives: rows, rounded to 8 bits as the definition has it, then
// columns. Tolerance of 1: 22-bit weights put a sum off by up to taps * 255 * 2^-23 (0.003 for 100
// taps), which moves a value near one half to the other side, in either pass; Pillow also drops
// pixels at the very edge of the support, where the cubic is below 1e-3.
static void assert_near_reference(const th_image *in, const double box[4], const th_image *out)
{
    size_t  width = (size_t)out->width, height = (size_t)in->height;
    double *values = calloc((size_t)in->width * height * 3, sizeof *values);
    double *middle = calloc(width * height * 3, sizeof *middle);
    double *want = calloc(width * (size_t)out->height * 3, sizeof *want);

    assert_true(values && middle && want);
    for (size_t i = 0; i < (size_t)in->width * height * 3; i++)
        values[i] = in->pixels[i];
    for (size_t y = 0; y < height; y++)
        for (size_t c = 0; c < 3; c++)
            reference_pass(values + y * (size_t)in->width * 3 + c, in->width, box[0], box[2],
                           out->width, 3, middle + y * width * 3 + c, 3);
    for (size_t i = 0; i < width * height * 3; i++)
        middle[i] = floor(middle[i] + 0.5);
    for (size_t x = 0; x < width * 3; x++)
        reference_pass(middle + x, in->height, box[1], box[3], out->height, width * 3, want + x,
                       width * 3);
    for (size_t i = 0; i < width * (size_t)out->height * 3; i++)
        th_assert_close(out->pixels[i], floor(want[i] + 0.5), 1);
    free(values);
    free(middle);
    free(want);
}

static const struct resize_case {
    const char *name;
    int         in_width, in_height;
    double      box[4]; // all zero: the whole picture
    int         width, height;
} cases[] = {
    { "shrink_by_a_fraction", 101, 77, { 0 }, 64, 49 },
    { "shrink_a_lot", 240, 200, { 0 }, 7, 5 },
    { "shrink_to_one_pixel", 50, 60, { 0 }, 1, 1 },
    { "enlarge", 13, 9, { 0 }, 64, 48 },
    { "enlarge_one_pixel", 1, 1, { 0 }, 32, 8 },
    { "shrink_one_way_and_enlarge_the_other", 90, 12, { 0 }, 31, 40 },
    { "keep_the_width", 64, 90, { 0 }, 64, 33 },
    { "keep_the_height", 90, 64, { 0 }, 33, 64 },
    { "box_of_whole_pixels", 100, 80, { 10, 5, 90, 75 }, 48, 48 },
    { "box_of_fractions", 100, 80, { 10.25, 5.5, 77.125, 60.75 }, 37, 50 },
    { "box_within_a_pixel", 10, 10, { 3.25, 4.25, 3.75, 4.5 }, 9, 9 },
    { "two_pixels_wide", 2, 300, { 0 }, 2, 100 },
};

static void box_of(const struct resize_case *c, double box[4])
{
    memcpy(box, c->box, sizeof c->box);
    if (box[2] == 0) {
        box[2] = c->in_width;
        box[3] = c->in_height;
    }
}

static void is_near_the_reference(void **state)
{
    const struct resize_case *c = *state;
    th_image                  in = th_make_noise(c->in_width, c->in_height, 11), out = { 0 };
    th_err                    err = { 0 };
    double                    box[4];

    box_of(c, box);
    th_assert_ok(th_image_resize(&in, TH_FILTER_BICUBIC, box[0], box[1], box[2], box[3], c->width,
                                 c->height, &out, &err),
                 &err);
    assert_int_equal(out.width, c->width);
    assert_int_equal(out.height, c->height);
    assert_near_reference(&in, box, &out);
    th_image_free(&in);
    th_image_free(&out);
}

static void a_part_is_what_a_crop_would_give(void **state)
{
    (void)state;
    th_image in = th_make_noise(130, 97, 12), whole = { 0 }, crop = { 0 }, part = { 0 };
    th_err   err = { 0 };
    double   box[4] = { 3.5, 0, 128.25, 96 };

    th_assert_ok(th_image_resize(&in, TH_FILTER_BICUBIC, box[0], box[1], box[2], box[3], 71, 64,
                                 &whole, &err),
                 &err);
    for (int left = 0; left < 60; left += 7)
        for (int top = 0; top < 50; top += 9) {
            int rectangle[4] = { left, top, 71 - left - left % 3, 64 - top - top % 2 };
            th_assert_ok(th_image_crop(&whole, left, top, rectangle[2], rectangle[3], &crop, &err),
                         &err);
            th_assert_ok(
                th_image_resize_part(&in, TH_FILTER_BICUBIC, box, 71, 64, rectangle, &part, &err),
                &err);
            assert_int_equal(part.width, crop.width);
            assert_int_equal(part.height, crop.height);
            assert_memory_equal(part.pixels, crop.pixels,
                                (size_t)crop.width * (size_t)crop.height * 3);
        }
    th_image_free(&in);
    th_image_free(&whole);
    th_image_free(&crop);
    th_image_free(&part);
}

static void the_same_size_is_a_copy(void **state)
{
    (void)state;
    th_image in = th_make_noise(40, 30, 13), out = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_image_resize(&in, TH_FILTER_BICUBIC, 0, 0, 40, 30, 40, 30, &out, &err), &err);
    assert_memory_equal(out.pixels, in.pixels, 40 * 30 * 3);
    th_image_free(&in);
    th_image_free(&out);
}

// A picture of one pixel by 20 million, as a hostile header may have it: only what is asked is
// made.
static void a_part_of_a_needle_is_cheap(void **state)
{
    (void)state;
    const int length = 20 << 20;
    th_image  in = { 0 }, out = { 0 };
    th_err    err = { 0 };

    th_assert_ok(th_image_shape(&in, length, 1, &err), &err);
    memset(in.pixels, 90, (size_t)length * 3);
    th_assert_ok(th_image_resize_part(&in, TH_FILTER_BICUBIC, (double[]){ 0, 0, length, 1 },
                                      length * 64, 64, (int[]){ length * 32 - 32, 0, 64, 64 }, &out,
                                      &err),
                 &err);
    for (size_t i = 0; i < 64 * 64 * 3; i++)
        assert_int_equal(out.pixels[i], 90);
    th_image_free(&in);
    th_image_free(&out);
}

// A file of cases: a line "filter in_width in_height left top right bottom width height", then the
// input pixels, then Pillow's output. Returns the number of cases that differ.
static int compare_file(const char *path)
{
    FILE     *file = fopen(path, "rb");
    int       count = 0, different = 0, in_width, in_height, width, height;
    double    box[4];
    char      name[16];
    th_filter filter;
    th_err    err = { 0 };
    th_image  in = { 0 }, want = { 0 }, got = { 0 };

    while (file && fscanf(file, "%15s %d %d %lf %lf %lf %lf %d %d%*1[\n]", name, &in_width,
                          &in_height, &box[0], &box[1], &box[2], &box[3], &width, &height) == 9) {
        size_t in_bytes = (size_t)in_width * (size_t)in_height * 3;
        size_t out_bytes = (size_t)width * (size_t)height * 3;
        if (th_filter_find(name, &filter, &err) != TH_OK ||
            th_image_shape(&in, in_width, in_height, &err) != TH_OK ||
            th_image_shape(&want, width, height, &err) != TH_OK ||
            fread(in.pixels, 1, in_bytes, file) != in_bytes ||
            fread(want.pixels, 1, out_bytes, file) != out_bytes ||
            th_image_resize(&in, filter, box[0], box[1], box[2], box[3], width, height, &got,
                            &err) != TH_OK)
            break;
        count++;
        if (memcmp(got.pixels, want.pixels, out_bytes) != 0) {
            different++;
            printf("%s, %d x %d, box %g %g %g %g, to %d x %d: differs\n", name, in_width, in_height,
                   box[0], box[1], box[2], box[3], width, height);
        }
    }
    _Bool whole = file && feof(file);
    if (file)
        (void)fclose(file);
    th_image_free(&in);
    th_image_free(&want);
    th_image_free(&got);
    printf("%d cases, %d differ%s\n", count, different,
           whole ? "" : "; the file could not be read");
    return whole && count > 0 ? different : count + 1;
}

int main(int count, char **arguments)
{
    struct CMUnitTest tests[sizeof cases / sizeof *cases + 3] = {
        cmocka_unit_test(a_part_is_what_a_crop_would_give),
        cmocka_unit_test(the_same_size_is_a_copy),
        cmocka_unit_test(a_part_of_a_needle_is_cheap),
    };

    if (count == 2)
        return compare_file(arguments[1]) != 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tests[i + 3] = (struct CMUnitTest){ cases[i].name, is_near_the_reference, NULL, NULL,
                                            (void *)&cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
