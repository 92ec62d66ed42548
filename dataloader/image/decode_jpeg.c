#include "dataloader/image/decode.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h> // needs stdio.h and does not include it

#include <jerror.h> // its numbers depend on what jpeglib.h defines

// libjpeg's ways out are its error manager's hooks: error_exit must not return, so it jumps back to
// run(); a damaging warning jumps too, because what libjpeg makes up for missing data is grey.
#define MOST_SCANS      64   // of a progressive file; encoders write about ten
#define PIXELS_PER_BYTE 1024 // no Huffman code is shorter than one bit for 8 x 8 pixels: 512
#define ROWS_AT_ONCE    16

typedef struct {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr         errors;
    struct jpeg_progress_mgr      progress;
    jmp_buf                       back;
    const char                   *kind;                  // "truncated" or "damaged"
    char                          text[JMSG_LENGTH_MAX]; // libjpeg's, once it has jumped
    size_t                        size;
    th_image                     *out;
    th_err                       *err;
} decoding;

static decoding *decoding_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    decoding *d = decoding_of(jpeg);

    d->errors.format_message(jpeg, d->text);
    longjmp(d->back, 1);
}

static _Bool is_damage(int message)
{
    return message == JWRN_JPEG_EOF || message == JWRN_HIT_MARKER ||
           message == JWRN_HUFF_BAD_CODE || message == JWRN_ARITH_BAD_CODE ||
           message == JWRN_MUST_RESYNC;
}

// Level -1 is a warning, the others are traces. Other warnings (stray bytes between markers, an odd
// JFIF version) leave every pixel as it should be.
static void on_message(j_common_ptr jpeg, int level)
{
    if (level != -1 || !is_damage(jpeg->err->msg_code))
        return;
    if (jpeg->err->msg_code == JWRN_JPEG_EOF)
        decoding_of(jpeg)->kind = "truncated";
    on_error(jpeg);
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg; // library code prints nothing
}

static void on_progress(j_common_ptr jpeg)
{
    decoding *d = decoding_of(jpeg);

    if (d->jpeg.input_scan_number > MOST_SCANS) {
        (void)snprintf(d->text, sizeof d->text, "more than %d scans", MOST_SCANS);
        longjmp(d->back, 1);
    }
}

// Adobe's CMYK, the only kind in use, stores inverted inks: 255 is none. RGB = ink * black.
static void cmyk_to_rgb(th_image *image)
{
    size_t         count = (size_t)image->width * (size_t)image->height;
    const uint8_t *in = image->pixels;
    uint8_t       *to = image->pixels; // never ahead of `in`

    for (size_t i = 0; i < count; i++, in += 4, to += 3) {
        unsigned black = in[3];
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)(black - th_scale_255(255u - in[c], black));
    }
}

static th_code read_picture(decoding *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    th_code                        rc = TH_OK;
    th_err                        *err = d->err;
    JSAMPROW                       rows[ROWS_AT_ONCE];

    (void)jpeg_read_header(jpeg, TRUE);
    TH_TRY(th_decode_check("JPEG", jpeg->image_width, jpeg->image_height, d->size, PIXELS_PER_BYTE,
                           err));
    _Bool  inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    size_t row_bytes = (size_t)jpeg->image_width * (inks ? 4 : 3);
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    TH_TRY(th_image_reserve(d->out, row_bytes * jpeg->image_height, err));
    d->out->width = (int)jpeg->image_width;
    d->out->height = (int)jpeg->image_height;

    (void)jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned left = jpeg->output_height - jpeg->output_scanline;
        unsigned count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
        for (unsigned i = 0; i < count; i++)
            rows[i] = d->out->pixels + (size_t)(jpeg->output_scanline + i) * row_bytes;
        (void)jpeg_read_scanlines(jpeg, rows, count);
    }
    (void)jpeg_finish_decompress(jpeg); // reads up to the end marker: a missing one shows here
    if (inks)
        cmyk_to_rgb(d->out);
out:
    return rc;
}

// Apart from th_decode_jpeg so that no local variable lives across the jump.
static th_code run(decoding *d, const void *bytes, size_t size)
{
    th_err *err = d->err;
    th_code rc = TH_OK;

    if (setjmp(d->back) != 0) {
        TH_CHECK(d->errors.msg_code != JERR_OUT_OF_MEMORY, TH_EIO, "free some memory",
                 "could not decode a JPEG of %u x %u pixels: out of memory", d->jpeg.image_width,
                 d->jpeg.image_height);
        TH_FAIL(TH_EDATA, th_decode_fix, "%s JPEG: %s", d->kind, d->text);
    }
    jpeg_create_decompress(&d->jpeg);
    d->jpeg.progress = &d->progress;
    jpeg_mem_src(&d->jpeg, bytes, size);
    return read_picture(d);
out:
    return rc;
}

th_code th_decode_jpeg(const void *bytes, size_t size, th_image *out, th_err *err)
{
    decoding d = { .kind = "damaged", .size = size, .out = out, .err = err };

    d.jpeg.client_data = &d; // jpeg_create_decompress keeps err and client_data
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.errors.output_message = on_output;
    d.progress.progress_monitor = on_progress;
    th_code rc = run(&d, bytes, size);
    jpeg_destroy_decompress(&d.jpeg);
    return rc;
}
