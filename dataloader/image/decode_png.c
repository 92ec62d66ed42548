#include "dataloader/image/decode.h"

#include "base/memory.h"
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CHUNK_BYTES 8000000 // of a chunk other than the picture
#define MOST_CHUNKS      1000

typedef struct {
    const unsigned char *bytes;
    size_t               size, at;
    _Bool                truncated;
    png_structp          png;
    png_infop            info;
    png_bytep           *rows;
    int                  channels;  // 3 or 4, of 8 bits
    char                 text[128]; // libpng's, once it has jumped
    th_alpha             alpha;
    th_image            *out;
    th_err              *err;
} decoding;

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    decoding *d = png_get_error_ptr(png);

    (void)snprintf(d->text, sizeof d->text, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text; // of chunks that we do not use; what damages pixels is an error
}

static void on_read(png_structp png, png_bytep to, size_t count)
{
    decoding *d = png_get_io_ptr(png);

    if (count > d->size - d->at) {
        d->truncated = 1;
        png_error(png, "the file ends too early");
    }
    memcpy(to, d->bytes + d->at, count);
    d->at += count;
}

// 8-bit RGB or RGBA, whatever is in the file. Gamma and colour profiles are not applied, as usual
// for training data.
static th_code read_header(decoding *d)
{
    th_code rc = TH_OK;
    th_err *err = d->err;

    png_set_user_limits(d->png, PNG_UINT_31_MAX,
                        PNG_UINT_31_MAX); // th_decode_check has a better text
    png_set_chunk_malloc_max(d->png, MOST_CHUNK_BYTES);
    png_set_chunk_cache_max(d->png, MOST_CHUNKS);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL,
                                -1); // all but the needed ones
    png_read_info(d->png, d->info);
    uint64_t width = png_get_image_width(d->png, d->info);
    uint64_t height = png_get_image_height(d->png, d->info);
    TH_TRY(th_decode_check("PNG", width, height, d->size, 0, err));
    TH_CHECK(png_get_rowbytes(d->png, d->info) * height / TH_DEFLATE_RATIO <= d->size, TH_EDATA,
             th_decode_fix,
             "truncated PNG: its header says %u x %u pixels, which %zu bytes cannot hold",
             (unsigned)width, (unsigned)height, d->size);

    png_set_strip_16(d->png); // the high byte, as Pillow does for colours
    png_set_expand(d->png);   // palette, grey of less than 8 bits, and a transparent colour
    if (d->alpha == TH_ALPHA_DROP)
        png_set_strip_alpha(d->png);
    png_set_gray_to_rgb(d->png);
    (void)png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    d->channels = png_get_channels(d->png, d->info);
    if ((d->channels != 3 && d->channels != 4) || png_get_bit_depth(d->png, d->info) != 8)
        png_error(d->png, "its colour type is not known");
    d->out->width = (int)width;
    d->out->height = (int)height;
out:
    return rc;
}

static th_code read_picture(decoding *d)
{
    th_code rc = TH_OK;
    th_err *err = d->err;
    void   *rows;

    TH_TRY(read_header(d));
    int    width = d->out->width, height = d->out->height;
    size_t row_bytes = (size_t)width * (size_t)d->channels;
    TH_TRY(th_image_reserve(d->out, row_bytes * (size_t)height, err));
    d->out->width = width;
    d->out->height = height;
    TH_TRY(th_alloc((size_t)height, sizeof *d->rows, "the rows of a PNG", &rows, err));
    d->rows = rows;
    for (int y = 0; y < height; y++)
        d->rows[y] = d->out->pixels + (size_t)y * row_bytes;
    png_read_image(d->png, d->rows);
    png_read_end(d->png, NULL); // checks the last chunk's checksum, and that the end is there
    if (d->channels == 4)
        th_decode_on_white(d->out);
out:
    return rc;
}

// Apart from th_decode_png so that no local variable lives across the jump.
static th_code run(decoding *d)
{
    th_err *err = d->err;
    th_code rc = TH_OK;

    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
    TH_CHECK(d->png, TH_EIO, "free some memory", "could not start libpng: out of memory");
    if (setjmp(png_jmpbuf(d->png)) != 0)
        TH_FAIL(TH_EDATA, th_decode_fix, "%s PNG: %s", d->truncated ? "truncated" : "damaged",
                d->text);
    d->info = png_create_info_struct(d->png);
    TH_CHECK(d->info, TH_EIO, "free some memory", "could not start libpng: out of memory");
    png_set_read_fn(d->png, d, on_read);
    return read_picture(d);
out:
    return rc;
}

th_code th_decode_png(const void *bytes, size_t size, th_alpha alpha, th_image *out, th_err *err)
{
    decoding d = { .bytes = bytes, .size = size, .alpha = alpha, .out = out, .err = err };
    th_code  rc = run(&d);

    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.rows);
    return rc;
}
