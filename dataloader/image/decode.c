#include "dataloader/image/decode.h"

#include <inttypes.h>
#include <string.h>

const char th_decode_fix[] = "replace the file, or leave the sample out";

th_code th_decode_check(const char *format, uint64_t width, uint64_t height, size_t size,
                        uint64_t pixels_per_byte, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(width > 0 && height > 0, TH_EDATA, th_decode_fix,
             "empty %s: its header says %" PRIu64 " x %" PRIu64 " pixels", format, width, height);
    TH_CHECK(width <= TH_IMAGE_PIXELS && height <= TH_IMAGE_PIXELS / width, TH_EDATA,
             "scale the picture down before packing it",
             "%s too large: its header says %" PRIu64 " x %" PRIu64
             " pixels, at most %d are decoded",
             format, width, height, TH_IMAGE_PIXELS);
    TH_CHECK(
        pixels_per_byte == 0 || width * height / pixels_per_byte <= size, TH_EDATA, th_decode_fix,
        "truncated %s: its header says %" PRIu64 " x %" PRIu64 " pixels, which %zu bytes cannot"
        " hold",
        format, width, height, size);
out:
    return rc;
}

void th_decode_on_white(th_image *image)
{
    size_t         count = (size_t)image->width * (size_t)image->height;
    const uint8_t *in = image->pixels;
    uint8_t       *to = image->pixels; // never ahead of `in`

    for (size_t i = 0; i < count; i++, in += 4, to += 3) {
        unsigned alpha = in[3];
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)(255 - th_scale_255(255u - in[c], alpha));
    }
}

static _Bool begins(const void *bytes, size_t size, const char *signature, size_t length)
{
    return size >= length && memcmp(bytes, signature, length) == 0;
}

// A name for what is often found under a picture's name.
static const char *other_content(const char *bytes, size_t size)
{
    size_t start = 0;

    while (start < size && strchr(" \t\r\n", bytes[start]) && bytes[start])
        start++;
    if (start < size && bytes[start] == '<')
        return "an HTML or XML text";
    if (start < size && bytes[start] == '{')
        return "a JSON text";
    if (begins(bytes, size, "GIF8", 4))
        return "a GIF";
    if (begins(bytes, size, "BM", 2))
        return "a BMP";
    if (begins(bytes, size, "II*\0", 4) || begins(bytes, size, "MM\0*", 4))
        return "a TIFF";
    if (size >= 12 && memcmp(bytes + 4, "ftyp", 4) == 0)
        return "an AVIF, HEIC or MP4";
    return "something else";
}

th_code th_alpha_find(const char *name, th_alpha *out, th_err *err)
{
    th_code rc = TH_OK;

    if (strcmp(name, "white") == 0)
        *out = TH_ALPHA_WHITE;
    else if (strcmp(name, "drop") == 0)
        *out = TH_ALPHA_DROP;
    else
        TH_FAIL(TH_EUSAGE, "use white or drop", "alpha \"%s\" is not known", name);
out:
    return rc;
}

th_code th_image_decode(const void *bytes, size_t size, th_alpha alpha, th_image *out, th_err *err)
{
    th_code rc = TH_OK;

    if (begins(bytes, size, "\xff\xd8\xff", 3))
        return th_decode_jpeg(bytes, size, out, err);
    if (begins(bytes, size, "\x89PNG\r\n\x1a\n", 8))
        return th_decode_png(bytes, size, alpha, out, err);
    if (begins(bytes, size, "RIFF", 4) && size >= 12 &&
        memcmp((const char *)bytes + 8, "WEBP", 4) == 0)
        return th_decode_webp(bytes, size, alpha, out, err);
    TH_CHECK(size > 0, TH_EDATA, th_decode_fix, "empty picture: it has no bytes");
    TH_FAIL(TH_EDATA, "convert it to JPEG, PNG or WebP, or leave the sample out",
            "not a picture: these %zu bytes are no JPEG, PNG or WebP but %s", size,
            other_content(bytes, size));
out:
    return rc;
}
