#include "dataloader/image/image.h"

#include <assert.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h> // needs stdio.h and does not include it

typedef struct {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr       errors;
    jmp_buf                     back;
    char                        text[JMSG_LENGTH_MAX];
    unsigned char              *bytes; // libjpeg's output, grown by it
    unsigned long               size;
} encoding;

static _Noreturn void on_error(j_common_ptr jpeg)
{
    encoding *e = jpeg->client_data;

    e->errors.format_message(jpeg, e->text);
    longjmp(e->back, 1);
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg; // library code prints nothing
}

// Apart from th_image_encode_jpeg so that no local variable lives across the jump.
static _Bool write_jpeg(encoding *e, const th_image *in, int quality)
{
    if (setjmp(e->back) != 0)
        return 0;
    jpeg_create_compress(&e->jpeg);
    jpeg_mem_dest(&e->jpeg, &e->bytes, &e->size);
    e->jpeg.image_width = (JDIMENSION)in->width;
    e->jpeg.image_height = (JDIMENSION)in->height;
    e->jpeg.input_components = 3;
    e->jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&e->jpeg);
    jpeg_set_quality(&e->jpeg, quality, TRUE);
    jpeg_start_compress(&e->jpeg, TRUE);
    while (e->jpeg.next_scanline < e->jpeg.image_height) {
        JSAMPROW row = in->pixels + (size_t)e->jpeg.next_scanline * (size_t)in->width * 3;
        (void)jpeg_write_scanlines(&e->jpeg, &row, 1);
    }
    jpeg_finish_compress(&e->jpeg);
    return 1;
}

th_code th_image_encode_jpeg(const th_image *in, int quality, uint8_t **out, size_t *out_size,
                             th_err *err)
{
    th_code  rc = TH_OK;
    encoding e = { 0 };

    assert(quality >= 1 && quality <= 100);
    e.jpeg.client_data = &e; // jpeg_create_compress keeps err and client_data
    e.jpeg.err = jpeg_std_error(&e.errors);
    e.errors.error_exit = on_error;
    e.errors.output_message = on_output;
    _Bool written = write_jpeg(&e, in, quality);
    jpeg_destroy_compress(&e.jpeg);
    TH_CHECK(written, TH_EIO, "free some memory, or use smaller pictures",
             "could not encode a JPEG of %d x %d pixels: %s", in->width, in->height, e.text);
    *out = e.bytes;
    *out_size = e.size;
out:
    if (rc != TH_OK)
        free(e.bytes);
    return rc;
}

th_code th_image_encode_png(const th_image *in, uint8_t **out, size_t *out_size, th_err *err)
{
    th_code          rc = TH_OK;
    png_image        png = { .version = PNG_IMAGE_VERSION,
                             .width = (png_uint_32)in->width,
                             .height = (png_uint_32)in->height,
                             .format = PNG_FORMAT_RGB };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png); // all that deflate could ever need
    uint8_t         *bytes = malloc(size);

    TH_CHECK(bytes, TH_EIO, "free some memory", "could not encode a PNG: out of memory");
    TH_CHECK(png_image_write_to_memory(&png, bytes, &size, 0, in->pixels, 0, NULL), TH_EIO,
             "free some memory, or use smaller pictures",
             "could not encode a PNG of %d x %d pixels: %s", in->width, in->height, png.message);
    *out = bytes;
    *out_size = size;
    bytes = NULL;
out:
    png_image_free(&png);
    free(bytes);
    return rc;
}
