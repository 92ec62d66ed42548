/* tests/unit/dataloader/make_picture.h - pictures for tests: drawn, and encoded in odd ways. */
#ifndef TH_TESTS_UNIT_DATALOADER_MAKE_PICTURE_H
#define TH_TESTS_UNIT_DATALOADER_MAKE_PICTURE_H

#include "dataloader/image/image.h"
#include "tests/test.h"

#include <png.h>

#include <jpeglib.h> // needs stdio.h and does not include it

typedef struct {
    unsigned char *bytes;
    size_t         size;
} th_blob;

static inline void th_blob_add(th_blob *blob, const void *bytes, size_t size)
{
    blob->bytes = realloc(blob->bytes, blob->size + size + 1);
    assert_non_null(blob->bytes);
    memcpy(blob->bytes + blob->size, bytes, size);
    blob->size += size;
}

static inline void th_blob_free(th_blob *blob)
{
    free(blob->bytes);
    *blob = (th_blob){ 0 };
}

/* Smooth colours with some edges: a picture that JPEG keeps well. */
static inline th_image th_make_picture(int width, int height, unsigned kind)
{
    th_image image = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_image_shape(&image, width, height, &err), &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *p = image.pixels + ((size_t)y * (size_t)width + (size_t)x) * 3;
            p[0] = (uint8_t)(255 * x / width);
            p[1] = (uint8_t)(255 * y / height);
            p[2] = (uint8_t)((kind * 67 + (unsigned)(x / 16 + y / 16) * 40) & 255);
        }
    return image;
}

/* Noise: every value independent, from a fixed seed. */
static inline th_image th_make_noise(int width, int height, uint32_t seed)
{
    th_image image = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_image_shape(&image, width, height, &err), &err);
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        image.pixels[i] = (uint8_t)(seed >> 24);
    }
    return image;
}

static inline void th_make_png_write(png_structp png, png_bytep bytes, size_t size)
{
    th_blob_add(png_get_io_ptr(png), bytes, size);
}

/* A PNG of any colour type and depth; `rows` holds height rows as libpng wants them. */
static inline th_blob th_make_png(int width, int height, int depth, int color, int interlace,
                                  const unsigned char *rows, const png_color *palette,
                                  const unsigned char *palette_alpha, int palette_count)
{
    th_blob     blob = { 0 };
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop   info = png_create_info_struct(png);
    png_bytep  *pointers = calloc((size_t)height, sizeof *pointers);

    assert_true(png && info && pointers);
    png_set_write_fn(png, &blob, th_make_png_write, NULL);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, color, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (palette)
        png_set_PLTE(png, info, palette, palette_count);
    if (palette_alpha)
        png_set_tRNS(png, info, palette_alpha, palette_count, NULL);
    for (int y = 0; y < height; y++)
        pointers[y] = (png_bytep)rows + (size_t)y * png_get_rowbytes(png, info);
    png_set_rows(png, info, pointers);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    free(pointers);
    return blob;
}

/* A JPEG of 1, 3 or 4 components, progressive or not. */
static inline th_blob th_make_jpeg(const uint8_t *pixels, int width, int height, int components,
                                   int quality, _Bool progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr       errors;
    unsigned char              *bytes = NULL;
    unsigned long               size = 0;

    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    if (components == 4)
        jpeg_set_colorspace(&jpeg, JCS_YCCK); // writes Adobe's marker too
    jpeg_set_quality(&jpeg, quality, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)pixels + (size_t)jpeg.next_scanline * (size_t)(width * components);
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (th_blob){ bytes, size };
}

#endif
