// Decoding, encoding and restoring of pictures, and the boxes of random crops.
#include "base/philox.h"
#include "dataloader/image/contact_sheet.h"
#include "dataloader/image/orientation.h"
#include "dataloader/record.h"
#include "tests/test.h"
#include "tests/unit/dataloader/make_picture.h"

#include <webp/encode.h>
#include <zlib.h>

#define WIDTH  53
#define HEIGHT 37

static th_image decode_with(th_blob *blob, th_alpha alpha)
{
    th_image image = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_image_decode(blob->bytes, blob->size, alpha, &image, &err), &err);
    th_blob_free(blob);
    return image;
}

static th_image decode(th_blob *blob)
{
    return decode_with(blob, TH_ALPHA_WHITE);
}

static void refused(const void *bytes, size_t size, const char *words)
{
    th_image image = { 0 };
    th_err   err = { 0 };

    th_assert_error(th_image_decode(bytes, size, TH_ALPHA_WHITE, &image, &err), TH_EDATA, &err,
                    words);
    th_image_free(&image);
}

static void assert_pixel(const th_image *image, int x, int y, int red, int green, int blue,
                         int tolerance)
{
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;

    th_assert_close(p[0], red, tolerance);
    th_assert_close(p[1], green, tolerance);
    th_assert_close(p[2], blue, tolerance);
}

static void png_gives_back_every_pixel(void **state)
{
    (void)state;
    th_image in = th_make_noise(WIDTH, HEIGHT, 1);
    th_err   err = { 0 };
    th_blob  blob;

    th_assert_ok(th_image_encode_png(&in, &blob.bytes, &blob.size, &err), &err);
    th_image out = decode(&blob);
    assert_int_equal(out.width, WIDTH);
    assert_int_equal(out.height, HEIGHT);
    assert_memory_equal(out.pixels, in.pixels, WIDTH * HEIGHT * 3);
    th_image_free(&out);

    blob = th_make_png(WIDTH, HEIGHT, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, in.pixels, NULL,
                       NULL, 0);
    out = decode(&blob);
    assert_memory_equal(out.pixels, in.pixels, WIDTH * HEIGHT * 3);
    th_image_free(&out);
    th_image_free(&in);
}

static void png_of_every_kind_becomes_8_bit_rgb_on_white(void **state)
{
    (void)state;
    const png_color palette[2] = { { 10, 20, 30 }, { 200, 100, 0 } };

    // One bit of grey: pixels 1 0 1, in the high bits.
    th_blob blob =
        th_make_png(3, 1, 1, PNG_COLOR_TYPE_GRAY, 0, (unsigned char[]){ 0xa0 }, NULL, NULL, 0);
    th_image out = decode(&blob);
    assert_pixel(&out, 0, 0, 255, 255, 255, 0);
    assert_pixel(&out, 1, 0, 0, 0, 0, 0);
    assert_pixel(&out, 2, 0, 255, 255, 255, 0);
    th_image_free(&out);

    blob = th_make_png(2, 1, 8, PNG_COLOR_TYPE_PALETTE, 0, (unsigned char[]){ 1, 0 }, palette,
                       (unsigned char[]){ 255, 51 }, 2);
    out = decode(&blob); // alpha 0.2: 0.2 * colour + 0.8 * 255
    assert_pixel(&out, 0, 0, (200 + 4 * 255) / 5, (100 + 4 * 255) / 5, 204, 0);
    assert_pixel(&out, 1, 0, 10, 20, 30, 0);
    th_image_free(&out);

    blob = th_make_png(2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, (unsigned char[]){ 100, 0, 100, 255 },
                       NULL, NULL, 0);
    out = decode(&blob);
    assert_pixel(&out, 0, 0, 255, 255, 255, 0);
    assert_pixel(&out, 1, 0, 100, 100, 100, 0);
    th_image_free(&out);

    // 16 bits a channel, big-endian: the high byte, as Pillow's RGB;16B, and not 128.996 rounded.
    blob = th_make_png(1, 1, 16, PNG_COLOR_TYPE_RGB_ALPHA, 0,
                       (unsigned char[]){ 0x80, 0xff, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff }, NULL,
                       NULL, 0);
    out = decode(&blob);
    assert_pixel(&out, 0, 0, 128, 0, 255, 0);
    th_image_free(&out);
}

// The colours of a palette, of grey with alpha and of a WebP as they stand under it; a transparent
// colour of a PNG without alpha stays that colour.
static void dropped_alpha_leaves_the_colours(void **state)
{
    (void)state;
    const png_color palette[2] = { { 10, 20, 30 }, { 200, 100, 0 } };

    th_blob  blob = th_make_png(2, 1, 8, PNG_COLOR_TYPE_PALETTE, 0, (unsigned char[]){ 1, 0 },
                                palette, (unsigned char[]){ 255, 0 }, 2);
    th_image out = decode_with(&blob, TH_ALPHA_DROP);
    assert_pixel(&out, 0, 0, 200, 100, 0, 0);
    assert_pixel(&out, 1, 0, 10, 20, 30, 0);
    th_image_free(&out);

    blob = th_make_png(2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, (unsigned char[]){ 100, 0, 7, 255 },
                       NULL, NULL, 0);
    out = decode_with(&blob, TH_ALPHA_DROP);
    assert_pixel(&out, 0, 0, 100, 100, 100, 0);
    assert_pixel(&out, 1, 0, 7, 7, 7, 0);
    th_image_free(&out);
}

static void alpha_is_rounded_to_nearest(void **state)
{
    (void)state;
    unsigned char *rows = malloc(256 * 256 * 4);

    assert_non_null(rows);
    for (unsigned i = 0; i < 256 * 256; i++)
        memcpy(rows + i * 4,
               (unsigned char[]){ (unsigned char)(i & 255), 0, 255, (unsigned char)(i >> 8) }, 4);
    th_blob  blob = th_make_png(256, 256, 8, PNG_COLOR_TYPE_RGB_ALPHA, 1, rows, NULL, NULL, 0);
    th_image out = decode(&blob);
    for (int alpha = 0; alpha < 256; alpha++)
        for (int value = 0; value < 256; value++)
            assert_pixel(&out, value, alpha,
                         (int)floor((value * alpha + 255.0 * (255 - alpha)) / 255 + 0.5),
                         255 - alpha, 255, 0);
    th_image_free(&out);
    free(rows);
}

static void jpeg_is_near_and_progressive_is_the_same(void **state)
{
    (void)state;
    th_image in = th_make_picture(WIDTH, HEIGHT, 3);
    th_blob  baseline = th_make_jpeg(in.pixels, WIDTH, HEIGHT, 3, 92, 0);
    th_blob  progressive = th_make_jpeg(in.pixels, WIDTH, HEIGHT, 3, 92, 1);
    th_image a = decode(&baseline), b = decode(&progressive);
    double   off = 0;

    assert_int_equal(a.width, WIDTH);
    assert_int_equal(a.height, HEIGHT);
    // The same quantised coefficients in another order.
    assert_memory_equal(a.pixels, b.pixels, WIDTH * HEIGHT * 3);
    for (size_t i = 0; i < WIDTH * HEIGHT * 3; i++)
        off += abs(a.pixels[i] - in.pixels[i]);
    // 4:2:0 smears the steps of the blue channel; 2.8 was seen, black would be 127.
    assert_true(off / (WIDTH * HEIGHT * 3) < 6);
    th_image_free(&a);
    th_image_free(&b);
    th_image_free(&in);
}

static void grey_and_cmyk_jpeg_become_rgb(void **state)
{
    (void)state;
    unsigned char grey[64 * 64], inks[64 * 64 * 4];

    memset(grey, 77, sizeof grey);
    th_blob  blob = th_make_jpeg(grey, 64, 64, 1, 95, 0);
    th_image out = decode(&blob);
    assert_pixel(&out, 5, 60, 77, 77, 77, 1);
    th_image_free(&out);

    // Inverted inks: full red and green, half blue, black at 200 of 255.
    for (size_t i = 0; i < 64 * 64; i++)
        memcpy(inks + i * 4, (unsigned char[]){ 255, 255, 128, 200 }, 4);
    blob = th_make_jpeg(inks, 64, 64, 4, 95, 0);
    out = decode(&blob);
    assert_pixel(&out, 20, 20, 200, 200, 200 * 128 / 255, 4); // YCCK at quality 95: a few levels
    th_image_free(&out);
}

static th_blob make_webp(const uint8_t *rgba, int width, int height, _Bool lossless)
{
    uint8_t *bytes = NULL;
    size_t   size = lossless ? WebPEncodeLosslessRGBA(rgba, width, height, width * 4, &bytes)
                             : WebPEncodeRGBA(rgba, width, height, width * 4, 80, &bytes);
    th_blob  blob = { 0 };

    assert_true(size > 0);
    th_blob_add(&blob, bytes, size);
    WebPFree(bytes);
    return blob;
}

static void webp_is_decoded_on_white(void **state)
{
    (void)state;
    unsigned char rgba[40 * 30 * 4];

    for (size_t i = 0; i < 40 * 30; i++)
        memcpy(rgba + i * 4,
               (unsigned char[]){ 10, (unsigned char)(i % 40), 200, i % 2 ? 255 : 51 }, 4);
    th_blob  blob = make_webp(rgba, 40, 30, 1);
    th_image out = decode(&blob);
    assert_int_equal(out.width, 40);
    assert_int_equal(out.height, 30);
    assert_pixel(&out, 7, 3, 10, 7, 200, 0);
    assert_pixel(&out, 8, 3, (10 + 4 * 255) / 5, 206, 244, 1);
    th_image_free(&out);
    for (size_t i = 0; i < 40 * 30; i++)
        rgba[i * 4 + 3] = 255;
    blob = make_webp(rgba, 40, 30, 0);
    out = decode(&blob);
    assert_pixel(&out, 20, 20, 10, 20, 200, 12); // lossy at quality 80
    th_image_free(&out);
}

// Pixels a b c / d e f as each orientation has them.
static void every_orientation_is_turned_upright(void **state)
{
    (void)state;
    static const struct {
        int         width;
        const char *rows;
    } want[] = { { 3, "abcdef" }, { 3, "cbafed" }, { 3, "fedcba" }, { 3, "defabc" },
                 { 2, "adbecf" }, { 2, "daebfc" }, { 2, "fcebda" }, { 2, "cfbead" } };

    for (int orientation = 1; orientation <= 8; orientation++) {
        th_image image = { 0 };
        th_err   err = { 0 };
        th_assert_ok(th_image_shape(&image, 3, 2, &err), &err);
        for (int i = 0; i < 18; i++)
            image.pixels[i] = (uint8_t)('a' + i / 3);
        th_assert_ok(th_orientation_apply(orientation, &image, &err), &err);
        assert_int_equal(image.width, want[orientation - 1].width);
        assert_int_equal(image.height, 6 / image.width);
        for (int i = 0; i < 18; i++)
            assert_int_equal(image.pixels[i], want[orientation - 1].rows[i / 3]);
        th_image_free(&image);
    }
}

// Start of image, and APP1 with one entry, big-endian. Any byte of it is any other, and the file
// ends anywhere: no more is read than there is (the sanitizer watches), and the answer is 1 to 8.
static void orientation_is_read_from_hostile_bytes(void **state)
{
    (void)state;
    static const unsigned char file[] = { 0xff, 0xd8, 0xff, 0xe1, 0, 34, 'E', 'x', 'i',  'f',
                                          0,    0,    'M',  'M',  0, 42, 0,   0,   0,    8,
                                          0,    1,    0x01, 0x12, 0, 3,  0,   0,   0,    1,
                                          0,    6,    0,    0,    0, 0,  0,   0,   0xff, 0xda };

    assert_int_equal(th_orientation_find(file, sizeof file), 6);
    for (size_t size = 1; size <= sizeof file; size++) {
        unsigned char *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, file, size);
        assert_int_equal(th_orientation_find(copy, size), size < 38 ? 1 : 6);
        for (size_t at = 0; at < size; at++)
            for (int value = 0; value < 256; value++) {
                copy[at] = (unsigned char)value;
                int got = th_orientation_find(copy, size);
                assert_true(got >= 1 && got <= 8);
                copy[at] = file[at];
            }
        free(copy);
    }
}

// A file cut at any place is refused, and says that it was cut: of 37 bytes less and of one less.
static void a_cut_file_is_refused(void **state)
{
    (void)state;
    th_image in = th_make_picture(90, 70, 5);
    th_image noise = th_make_noise(90, 70, 6);
    uint8_t  rgba[90 * 70 * 4];
    th_blob  blobs[6] = { th_make_jpeg(in.pixels, 90, 70, 3, 90, 0),
                          th_make_jpeg(in.pixels, 90, 70, 3, 90, 1) };

    for (size_t i = 0; i < 90 * 70; i++)
        memcpy(rgba + i * 4, noise.pixels + i * 3, 4);
    blobs[2] = th_make_png(90, 70, 8, PNG_COLOR_TYPE_RGB, 0, noise.pixels, NULL, NULL, 0);
    blobs[3] = th_make_png(90, 70, 8, PNG_COLOR_TYPE_RGB, 1, noise.pixels, NULL, NULL, 0);
    blobs[4] = make_webp(rgba, 90, 70, 0);
    blobs[5] = make_webp(rgba, 90, 70, 1);
    for (int i = 0; i < 6; i++) {
        for (size_t size = 12; size < blobs[i].size; size += 37) {
            // An exact copy, so that a read beyond the end is seen by the sanitizer.
            th_blob cut = { 0 };
            cut.bytes = malloc(size);
            assert_non_null(cut.bytes);
            memcpy(cut.bytes, blobs[i].bytes, size);
            refused(cut.bytes, size, size > blobs[i].size / 2 ? "truncated" : NULL);
            th_blob_free(&cut);
        }
        refused(blobs[i].bytes, blobs[i].size - 1, "truncated");
        th_blob_free(&blobs[i]);
    }
    th_image_free(&in);
    th_image_free(&noise);
}

static void what_is_no_picture_is_named(void **state)
{
    (void)state;
    static const char html[] = "\n <!DOCTYPE html><html>404 not found</html>";
    static const char gif[] = "GIF89a....";
    unsigned char     noise[4096];

    refused("", 0, "empty picture");
    refused(html, sizeof html - 1, "HTML");
    refused(gif, sizeof gif - 1, "a GIF");
    refused("\xff\xd8\xff", 3, "JPEG");
    refused("\x89PNG\r\n\x1a\n", 8, "truncated PNG");
    refused("RIFF\0\0\0\0WEBP", 12, "WebP");
    for (unsigned i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)(i * 2654435761u >> 24);
    refused(noise, sizeof noise, "something else");
    memcpy(noise, "\xff\xd8\xff", 3);
    refused(noise, sizeof noise, "JPEG");
    memcpy(noise, "\x89PNG\r\n\x1a\n", 8);
    refused(noise, sizeof noise, "PNG");
}

static unsigned char *find(unsigned char *bytes, size_t size, const void *what, size_t length)
{
    unsigned char *at = memmem(bytes, size, what, length);

    assert_non_null(at);
    return at;
}

static void a_header_of_30000_x_30000_is_refused(void **state)
{
    (void)state;
    th_image in = th_make_picture(64, 64, 1);

    th_blob        jpeg = th_make_jpeg(in.pixels, 64, 64, 3, 90, 0);
    unsigned char *sof = find(jpeg.bytes, jpeg.size, "\xff\xc0", 2);
    memcpy(sof + 5, (unsigned char[]){ 30000 >> 8, 30000 & 255, 30000 >> 8, 30000 & 255 }, 4);
    refused(jpeg.bytes, jpeg.size, "30000 x 30000");
    // Within the limit, but far more than so few bytes can hold.
    memcpy(sof + 5, (unsigned char[]){ 10000 >> 8, 10000 & 255, 10000 >> 8, 10000 & 255 }, 4);
    refused(jpeg.bytes, jpeg.size, "cannot hold");
    memcpy(sof + 5, (unsigned char[]){ 0, 0, 0, 64 }, 4);
    refused(jpeg.bytes, jpeg.size, "JPEG");
    th_blob_free(&jpeg);

    th_blob        png = th_make_png(64, 64, 8, PNG_COLOR_TYPE_RGB, 0, in.pixels, NULL, NULL, 0);
    unsigned char *ihdr = find(png.bytes, png.size, "IHDR", 4);
    for (int i = 0; i < 2; i++) {
        unsigned side = i == 0 ? 30000 : 10000;
        memcpy(ihdr + 4,
               (unsigned char[]){ 0, 0, (unsigned char)(side >> 8), (unsigned char)side, 0, 0,
                                  (unsigned char)(side >> 8), (unsigned char)side },
               8);
        uint32_t sum = (uint32_t)crc32(0, ihdr, 17);
        memcpy(ihdr + 17,
               (unsigned char[]){ (unsigned char)(sum >> 24), (unsigned char)(sum >> 16),
                                  (unsigned char)(sum >> 8), (unsigned char)sum },
               4);
        refused(png.bytes, png.size, i == 0 ? "30000 x 30000" : "cannot hold");
    }
    th_blob_free(&png);

    // WebP's lossy header holds 14 bits a side: 16383 x 16383 is the largest bomb.
    unsigned char rgba[16 * 16 * 4] = { 0 };
    memset(rgba, 255, sizeof rgba);
    th_blob        webp = make_webp(rgba, 16, 16, 0);
    unsigned char *start = find(webp.bytes, webp.size, "\x9d\x01\x2a", 3);
    memcpy(start + 3, "\xff\x3f\xff\x3f", 4);
    refused(webp.bytes, webp.size, "16383 x 16383");
    memcpy(start + 3, "\x10\x27\x10\x27", 4); // 10000 x 10000
    refused(webp.bytes, webp.size, "cannot hold");
    th_blob_free(&webp);
    th_image_free(&in);
}

// A progressive file whose first scan comes `copies` times: each is a pass over the whole picture.
static th_blob with_repeated_scan(const th_blob *jpeg, int copies)
{
    th_blob        out = { 0 };
    unsigned char *first = find(jpeg->bytes, jpeg->size, "\xff\xda", 2), *end = first + 2;

    while (end[0] != 0xff || end[1] == 0) // a marker; 255 in the data has a zero behind it
        end++;
    th_blob_add(&out, jpeg->bytes, (size_t)(first - jpeg->bytes));
    for (int i = 0; i < copies; i++)
        th_blob_add(&out, first, (size_t)(end - first));
    th_blob_add(&out, end, (size_t)(jpeg->bytes + jpeg->size - end));
    return out;
}

static void a_bomb_of_scans_is_refused(void **state)
{
    (void)state;
    th_image in = th_make_picture(64, 64, 1), out = { 0 };
    th_blob  jpeg = th_make_jpeg(in.pixels, 64, 64, 3, 90, 1);
    th_blob  odd = with_repeated_scan(&jpeg, 30), bomb = with_repeated_scan(&jpeg, 1000);
    th_err   err = { 0 };

    th_assert_ok(th_image_decode(odd.bytes, odd.size, TH_ALPHA_WHITE, &out, &err),
                 &err); // harmless
    refused(bomb.bytes, bomb.size, "scans");
    th_image_free(&out);
    th_blob_free(&bomb);
    th_blob_free(&odd);
    th_blob_free(&jpeg);
    th_image_free(&in);
}

static void a_buffer_is_used_again(void **state)
{
    (void)state;
    th_image large = th_make_noise(80, 60, 2), small = th_make_noise(20, 10, 3), out = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_image_crop(&large, 0, 0, 80, 60, &out, &err), &err);
    const uint8_t *pixels = out.pixels;
    th_assert_ok(th_image_crop(&small, 5, 3, 10, 6, &out, &err), &err);
    assert_ptr_equal(out.pixels, pixels);
    assert_int_equal(out.width, 10);
    assert_int_equal(out.height, 6);
    for (int y = 0; y < 6; y++)
        assert_memory_equal(out.pixels + y * 30, small.pixels + ((y + 3) * 20 + 5) * 3, 30);
    th_image_free(&out);
    th_image_free(&large);
    th_image_free(&small);
}

static void restore_gives_the_stored_pixels(void **state)
{
    (void)state;
    th_image in = th_make_picture(48, 48, 2), out = { 0 };
    th_err   err = { 0 };
    size_t   size = 48 * 48 * 3;

    struct th_stored_picture raw = { TH_CODEC_RAW, 48, 48, in.pixels, size };
    th_assert_ok(th_image_restore(&raw, &out, &err), &err);
    assert_memory_equal(out.pixels, in.pixels, size);
    raw.size--;
    th_assert_error(th_image_restore(&raw, &out, &err), TH_EDATA, &err, "48 x 48");
    raw.width = 9000;
    th_assert_error(th_image_restore(&raw, &out, &err), TH_EDATA, &err, "9000");

    uLongf packed_size = compressBound(size);
    Bytef *packed = malloc(packed_size);
    assert_non_null(packed);
    assert_int_equal(compress(packed, &packed_size, in.pixels, size), Z_OK);
    struct th_stored_picture zlib = { TH_CODEC_ZLIB, 48, 48, packed, packed_size };
    memset(out.pixels, 0, size);
    th_assert_ok(th_image_restore(&zlib, &out, &err), &err);
    assert_memory_equal(out.pixels, in.pixels, size);
    zlib.height = 47;
    th_assert_error(th_image_restore(&zlib, &out, &err), TH_EDATA, &err, "zlib");
    zlib.height = 49;
    th_assert_error(th_image_restore(&zlib, &out, &err), TH_EDATA, &err, "zlib");
    zlib.width = zlib.height = 8192; // refused before memory is taken
    th_assert_error(th_image_restore(&zlib, &out, &err), TH_EDATA, &err, "cannot hold");
    free(packed);

    th_blob jpeg;
    th_assert_ok(th_image_encode_jpeg(&in, 95, &jpeg.bytes, &jpeg.size, &err), &err);
    struct th_stored_picture stored = { TH_CODEC_JPEG, 48, 48, jpeg.bytes, jpeg.size };
    th_assert_ok(th_image_restore(&stored, &out, &err), &err);
    assert_pixel(&out, 8, 40, in.pixels[(40 * 48 + 8) * 3], in.pixels[(40 * 48 + 8) * 3 + 1],
                 in.pixels[(40 * 48 + 8) * 3 + 2], 25);
    stored.width = 40;
    th_assert_error(th_image_restore(&stored, &out, &err), TH_EDATA, &err, "48 x 48");
    stored.codec = 7;
    th_assert_error(th_image_restore(&stored, &out, &err), TH_EDATA, &err, "codec 7");
    th_blob_free(&jpeg);
    th_image_free(&out);
    th_image_free(&in);
}

static double draw(void *context)
{
    return th_rng_uniform(context);
}

static void random_boxes_keep_scale_and_ratio(void **state)
{
    (void)state;
    const double scale[2] = { 0.2, 0.9 }, ratio[2] = { 3.0 / 4, 4.0 / 3 };
    double       area = 0;
    int          box[4], left_seen = 0, right_seen = 0;

    for (uint64_t i = 0; i < 4000; i++) {
        th_rng rng;
        th_rng_init(&rng, 7, TH_FOR_TEST, 0, i);
        th_image_random_box(300, 200, scale, ratio, draw, &rng, box);
        assert_true(box[0] >= 0 && box[1] >= 0 && box[2] > 0 && box[3] > 0);
        assert_true(box[0] + box[2] <= 300 && box[1] + box[3] <= 200);
        double own = (double)box[2] / box[3], share = box[2] * box[3] / (300.0 * 200);
        assert_true(own > 0.74 && own < 1.35); // sides are rounded
        assert_true(share > 0.19 && share < 0.91);
        area += share / 4000;
        left_seen |= box[0] == 0;
        right_seen |= box[0] + box[2] == 300;
    }
    assert_true(left_seen && right_seen);
    // Draws that do not fit (mostly large areas) are drawn again, so the mean is below 0.55.
    assert_true(area > 0.4 && area < 0.55);
}

static void a_box_that_never_fits_is_the_centre(void **state)
{
    (void)state;
    const double scale[2] = { 0.9, 1.0 }, ratio[2] = { 3.0 / 4, 4.0 / 3 };
    int          box[4];
    th_rng       rng;

    th_rng_init(&rng, 7, TH_FOR_TEST, 0, 0);
    th_image_random_box(1000, 30, scale, ratio, draw, &rng, box);
    assert_int_equal(box[0], 480);
    assert_int_equal(box[1], 0);
    assert_int_equal(box[2], 40);
    assert_int_equal(box[3], 30);
    th_image_random_box(30, 1000, scale, ratio, draw, &rng, box);
    assert_int_equal(box[0], 0);
    assert_int_equal(box[1], 480);
    assert_int_equal(box[2], 30);
    assert_int_equal(box[3], 40);
    th_image_random_box(1, 1, scale, ratio, draw, &rng, box);
    assert_true(box[0] == 0 && box[1] == 0 && box[2] == 1 && box[3] == 1);
}

// Five pictures on a sheet of two columns: what fits is copied, what does not is scaled, the rest
// is white.
static void a_contact_sheet_shows_each_picture(void **state)
{
    (void)state;
    th_image pictures[5] = { th_make_noise(8, 8, 1),
                             th_make_noise(6, 4, 2),
                             { 0 },
                             th_make_noise(32, 16, 3),
                             th_make_noise(1, 100, 4) };
    th_image sheet = { 0 }, scaled = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_contact_sheet(pictures, 5, 2, 8, 3, &sheet, &err), &err);
    assert_int_equal(sheet.width, 2 * 11 + 3);
    assert_int_equal(sheet.height, 3 * 11 + 3);
    for (int y = 0; y < 8; y++)
        assert_memory_equal(sheet.pixels + ((3 + y) * 25 + 3) * 3, pictures[0].pixels + y * 24, 24);
    for (int y = 0; y < 4; y++)
        assert_memory_equal(sheet.pixels + ((3 + 2 + y) * 25 + 14 + 1) * 3,
                            pictures[1].pixels + y * 18, 18);
    th_assert_ok(
        th_image_resize(&pictures[3], TH_FILTER_BICUBIC, 0, 0, 32, 16, 8, 4, &scaled, &err), &err);
    for (int y = 0; y < 4; y++)
        assert_memory_equal(sheet.pixels + ((14 + 2 + y) * 25 + 14) * 3, scaled.pixels + y * 24,
                            24);
    for (int y = 14; y < 22; y++)
        for (int x = 0; x < 14; x++)
            assert_pixel(&sheet, x, y, 255, 255, 255, 0); // the third has no pixels
    th_assert_error(th_contact_sheet(pictures, 5, 1, 1 << 24, 0, &sheet, &err), TH_EUSAGE, &err,
                    "5 pictures");
    for (int i = 0; i < 5; i++)
        th_image_free(&pictures[i]);
    th_image_free(&sheet);
    th_image_free(&scaled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_gives_back_every_pixel),
        cmocka_unit_test(png_of_every_kind_becomes_8_bit_rgb_on_white),
        cmocka_unit_test(dropped_alpha_leaves_the_colours),
        cmocka_unit_test(every_orientation_is_turned_upright),
        cmocka_unit_test(orientation_is_read_from_hostile_bytes),
        cmocka_unit_test(alpha_is_rounded_to_nearest),
        cmocka_unit_test(jpeg_is_near_and_progressive_is_the_same),
        cmocka_unit_test(grey_and_cmyk_jpeg_become_rgb),
        cmocka_unit_test(webp_is_decoded_on_white),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(what_is_no_picture_is_named),
        cmocka_unit_test(a_header_of_30000_x_30000_is_refused),
        cmocka_unit_test(a_bomb_of_scans_is_refused),
        cmocka_unit_test(a_buffer_is_used_again),
        cmocka_unit_test(restore_gives_the_stored_pixels),
        cmocka_unit_test(random_boxes_keep_scale_and_ratio),
        cmocka_unit_test(a_box_that_never_fits_is_the_centre),
        cmocka_unit_test(a_contact_sheet_shows_each_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
