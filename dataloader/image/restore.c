#include "dataloader/image/decode.h"
#include "dataloader/record.h"

#include <string.h>
#include <zlib.h>

static const char fix[] = "pack the data again, or verify the pack: thaw inspect --verify";

static th_code restore_zlib(const struct th_stored_picture *stored, size_t pixel_bytes,
                            th_image *out, th_err *err)
{
    th_code rc = TH_OK;
    uLongf  length = pixel_bytes;
    int     status = uncompress(out->pixels, &length, stored->bytes, stored->size);

    TH_CHECK(status == Z_OK && length == pixel_bytes, TH_EDATA, fix,
             "damaged record: its zlib stream does not give %d x %d pixels (%s)", stored->width,
             stored->height, zError(status));
out:
    return rc;
}

th_code th_image_restore(const struct th_stored_picture *stored, th_image *out, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(stored->width > 0 && stored->height > 0 && stored->width <= TH_RECORD_SIDE &&
                 stored->height <= TH_RECORD_SIDE,
             TH_EDATA, fix, "damaged record: a picture of %d x %d pixels", stored->width,
             stored->height);
    size_t pixel_bytes = (size_t)stored->width * (size_t)stored->height * 3;
    switch (stored->codec) {
    case TH_CODEC_RAW:
        TH_CHECK(stored->size == pixel_bytes, TH_EDATA, fix,
                 "damaged record: %zu bytes for %d x %d pixels", stored->size, stored->width,
                 stored->height);
        TH_TRY(th_image_shape(out, stored->width, stored->height, err));
        memcpy(out->pixels, stored->bytes, pixel_bytes);
        break;
    case TH_CODEC_ZLIB:
        TH_CHECK(pixel_bytes / TH_DEFLATE_RATIO <= stored->size, TH_EDATA, fix,
                 "damaged record: %zu bytes of zlib cannot hold %d x %d pixels", stored->size,
                 stored->width, stored->height);
        TH_TRY(th_image_shape(out, stored->width, stored->height, err));
        TH_TRY(restore_zlib(stored, pixel_bytes, out, err));
        break;
    case TH_CODEC_JPEG:
        TH_TRY(th_decode_jpeg(stored->bytes, stored->size, out, err));
        TH_CHECK(out->width == stored->width && out->height == stored->height, TH_EDATA, fix,
                 "damaged record: its JPEG has %d x %d pixels and not %d x %d", out->width,
                 out->height, stored->width, stored->height);
        break;
    default:
        TH_FAIL(TH_EDATA, fix, "damaged record: codec %d is not known", stored->codec);
    }
out:
    return rc;
}
