#include "dataloader/image/decode.h"

#include <webp/decode.h>

#define LOSSY 1 // WebPBitstreamFeatures.format

// The modes of a macroblock, 16 x 16 pixels, have fixed probabilities in a key frame, and the
// likeliest ones (DC for luma and chroma) cost 3.4 bits: 600 pixels a byte. RFC 6386, sections 11.2
// to 11.4.
#define LOSSY_PIXELS_PER_BYTE 1024

static const char *status_text(VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return "truncated WebP: the file ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "unsupported WebP: it uses a feature that libwebp does not know";
    default:
        return "damaged WebP: its bit stream is broken";
    }
}

th_code th_decode_webp(const void *bytes, size_t size, th_alpha alpha, th_image *out, th_err *err)
{
    th_code           rc = TH_OK;
    WebPDecoderConfig webp;

    TH_CHECK(WebPInitDecoderConfig(&webp), TH_EIO, "install one version of libwebp",
             "could not start libwebp: the library is not the one thaw was built with");
    VP8StatusCode status = WebPGetFeatures(bytes, size, &webp.input);
    TH_CHECK(status == VP8_STATUS_OK, TH_EDATA, th_decode_fix, "%s", status_text(status));
    TH_CHECK(!webp.input.has_animation, TH_EDATA, "extract one picture of it",
             "unsupported WebP: it is an animation");
    // A picture of one colour needs only a few bytes in lossless WebP, whatever its size.
    TH_TRY(th_decode_check("WebP", (uint64_t)webp.input.width, (uint64_t)webp.input.height, size,
                           webp.input.format == LOSSY ? LOSSY_PIXELS_PER_BYTE : 0, err));

    int    width = webp.input.width, height = webp.input.height;
    _Bool  keeps_alpha = webp.input.has_alpha && alpha == TH_ALPHA_WHITE;
    size_t row_bytes = (size_t)width * (keeps_alpha ? 4 : 3);
    TH_TRY(th_image_reserve(out, row_bytes * (size_t)height, err));
    webp.output.colorspace = keeps_alpha ? MODE_RGBA : MODE_RGB;
    webp.output.is_external_memory = 1;
    webp.output.u.RGBA = (WebPRGBABuffer){ .rgba = out->pixels,
                                           .stride = (int)row_bytes,
                                           .size = row_bytes * (size_t)height };
    status = WebPDecode(bytes, size, &webp);
    WebPFreeDecBuffer(&webp.output); // the pixels are ours and stay
    TH_CHECK(status != VP8_STATUS_OUT_OF_MEMORY, TH_EIO, "free some memory",
             "could not decode a WebP of %d x %d pixels: out of memory", width, height);
    TH_CHECK(status == VP8_STATUS_OK, TH_EDATA, th_decode_fix, "%s", status_text(status));
    out->width = width;
    out->height = height;
    if (keeps_alpha)
        th_decode_on_white(out);
out:
    return rc;
}
