// The kernels of the resize against the definition: one output at a time, in scalar integers.
#include "dataloader/image/resize_private.h"
#include "tests/test.h"
#include "tests/unit/dataloader/make_picture.h"

// Every product is rounded, as Pillow does: the compiler must not fuse it with an addition.
#ifdef __clang__
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define MOST_SIDE 60

static uint32_t draws = 1;

static int below(int limit)
{
    draws = draws * 1664525u + 1013904223u;
    return (int)((uint64_t)draws * (uint64_t)limit >> 32);
}

static double filter_at(th_filter filter, double x)
{
    if (filter == TH_FILTER_BOX)
        return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    x = fabs(x);
    if (filter == TH_FILTER_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0.0;
}

// Output i of `outputs`, which stand for low .. high of `inputs` values that are `step` apart.
static uint8_t output_at(int i, th_filter filter, const uint8_t *in, size_t step, int inputs,
                         float low, float high, int outputs)
{
    static const double reach[] = { 2.0, 1.0, 0.5 };
    double              scale = (double)(high - low) / outputs, stretch = scale < 1.0 ? 1.0 : scale;
    double              centre = low + (i + 0.5) * scale, shrink = 1.0 / stretch, total = 0;
    int                 from = (int)(centre - reach[filter] * stretch + 0.5);
    int                 end = (int)(centre + reach[filter] * stretch + 0.5);
    int64_t             sum = 1 << 21;

    from = from < 0 ? 0 : from;
    end = end > inputs ? inputs : end;
    for (int j = from; j < end; j++)
        total += filter_at(filter, (j - centre + 0.5) * shrink);
    for (int j = from; j < end; j++) {
        double weight = filter_at(filter, (j - centre + 0.5) * shrink) / total * (1 << 22);
        sum += (int64_t)(weight < 0 ? weight - 0.5 : weight + 0.5) * in[(size_t)j * step];
    }
    sum >>= 22;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void resize_plainly(const th_image *in, th_filter filter, const double box[4],
                           const th_image *out)
{
    size_t   in_row = (size_t)in->width * 3, row = (size_t)out->width * 3;
    uint8_t *middle = malloc(row * (size_t)in->height);

    assert_non_null(middle);
    for (int y = 0; y < in->height; y++)
        for (size_t x = 0; x < row; x++)
            middle[(size_t)y * row + x] =
                output_at((int)(x / 3), filter, in->pixels + (size_t)y * in_row + x % 3, 3,
                          in->width, (float)box[0], (float)box[2], out->width);
    for (int y = 0; y < out->height; y++)
        for (size_t x = 0; x < row; x++)
            out->pixels[(size_t)y * row + x] = output_at(y, filter, middle + x, row, in->height,
                                                         (float)box[1], (float)box[3], out->height);
    free(middle);
}

// All of a side, whole pixels of it, or a box between pixels; of few pixels now and then.
static void draw_box(int kind, int side, double *low, double *high)
{
    *low = kind == 0 ? 0 : below(side);
    *high = kind == 0 ? side : *low + 1 + below(side - (int)*low);
    if (kind == 2) {
        *low += below(16) / 37.0;
        *high -= below(16) / 37.0;
    }
}

static void compare(const th_resize_kernels *kernels, int times)
{
    th_err err = { 0 };

    for (int i = 0; i < times; i++) {
        int       most = i % 3 == 0 ? 9 : MOST_SIDE; // tiny ones end within a vector everywhere
        th_image  in = th_make_noise(1 + below(most), 1 + below(most), (uint32_t)i + 1);
        th_image  whole = { 0 }, want = { 0 }, got = { 0 };
        int       width = 1 + below(most), height = 1 + below(most);
        int       left = below(width), top = below(height);
        int       part[4] = { left, top, 1 + below(width - left), 1 + below(height - top) };
        th_filter filter = (th_filter)below(3);
        double    box[4];

        if (i % 5 == 0) // hard edges overshoot: sums leave 0 .. 255
            for (size_t j = 0; j < (size_t)in.width * (size_t)in.height * 3; j++)
                in.pixels[j] = in.pixels[j] < 128 ? 0 : 255;
        draw_box(below(3), in.width, &box[0], &box[2]);
        draw_box(below(3), in.height, &box[1], &box[3]);
        th_assert_ok(th_image_shape(&whole, width, height, &err), &err);
        resize_plainly(&in, filter, box, &whole);
        th_assert_ok(th_image_crop(&whole, left, top, part[2], part[3], &want, &err), &err);
        th_assert_ok(
            th_image_resize_with(kernels, &in, filter, box, width, height, part, &got, &err), &err);
        assert_int_equal(got.width, part[2]);
        assert_int_equal(got.height, part[3]);
        assert_memory_equal(got.pixels, want.pixels, (size_t)part[2] * (size_t)part[3] * 3);
        th_image_free(&in);
        th_image_free(&whole);
        th_image_free(&want);
        th_image_free(&got);
    }
}

static void plain_kernels_have_the_bits_of_the_definition(void **state)
{
    (void)state;
    compare(&th_resize_plain, 200);
}

static void avx2_kernels_have_the_bits_of_the_definition(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        compare(&th_resize_avx2, 400);
        return;
    }
#endif
    skip();
}

// Hundreds of taps, whose sums still fit: white stays white, and the sharpest pattern is the
// twin's.
static void many_taps_have_the_bits_of_the_definition(void **state)
{
    (void)state;
    th_image in = th_make_noise(3000, 7, 5), want = { 0 }, got = { 0 };
    double   box[4] = { 0, 0, 3000, 7 };
    int      part[4] = { 0, 0, 5, 3 };
    th_err   err = { 0 };

    th_assert_ok(th_image_shape(&want, 5, 3, &err), &err);
    for (int filter = 0; filter < 3; filter++) {
        for (int white = 0; white < 2; white++) {
            if (white)
                memset(in.pixels, 255, 3000 * 7 * 3);
            resize_plainly(&in, (th_filter)filter, box, &want);
            th_assert_ok(th_image_resize_part(&in, (th_filter)filter, box, 5, 3, part, &got, &err),
                         &err);
            assert_memory_equal(got.pixels, want.pixels, 5 * 3 * 3);
        }
    }
    th_image_free(&in);
    th_image_free(&want);
    th_image_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_kernels_have_the_bits_of_the_definition),
        cmocka_unit_test(avx2_kernels_have_the_bits_of_the_definition),
        cmocka_unit_test(many_taps_have_the_bits_of_the_definition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
