#include "dataloader/image/orientation.h"

#include <assert.h>
#include <string.h>

#define TAG         0x0112
#define SHORT       3 // the type of a 16-bit number
#define ENTRY_BYTES 12

typedef struct {
    const uint8_t *bytes;
    size_t         size;
} span;

// `count` bytes (2 or 4) as a number, which the caller has made sure are there.
static uint32_t number(const uint8_t *at, int count, _Bool big)
{
    uint32_t value = 0;

    for (int i = 0; i < count; i++)
        value = value << 8 | at[big ? i : count - 1 - i];
    return value;
}

// The orientation in a TIFF structure, as all three formats embed it.
static int read_tiff(span tiff)
{
    if (tiff.size < 8 ||
        (memcmp(tiff.bytes, "II*\0", 4) != 0 && memcmp(tiff.bytes, "MM\0*", 4) != 0))
        return 1;
    _Bool  big = tiff.bytes[0] == 'M';
    size_t at = number(tiff.bytes + 4, 4, big);
    if (at > tiff.size || tiff.size - at < 2)
        return 1;
    uint32_t entries = number(tiff.bytes + at, 2, big);
    at += 2;
    for (uint32_t i = 0; i < entries && tiff.size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        const uint8_t *entry = tiff.bytes + at;
        if (number(entry, 2, big) != TAG)
            continue;
        uint32_t value = number(entry + 8, 2, big);
        _Bool    good = number(entry + 2, 2, big) == SHORT && value >= 1 && value <= 8;
        return good ? (int)value : 1;
    }
    return 1;
}

// Exif's header, which JPEG has before the TIFF structure and some WebP files too.
static span without_header(span exif)
{
    if (exif.size >= 6 && memcmp(exif.bytes, "Exif\0\0", 6) == 0)
        return (span){ exif.bytes + 6, exif.size - 6 };
    return exif;
}

// The segments up to the first scan: FF, marker, a length that counts itself.
static int find_in_jpeg(span file)
{
    for (size_t at = 2; file.size - at >= 4;) {
        const uint8_t *segment = file.bytes + at;
        if (segment[0] != 0xff || segment[1] == 0xda)
            break;
        if (segment[1] == 0xff) { // a fill byte
            at++;
            continue;
        }
        size_t length = number(segment + 2, 2, 1);
        if (length < 2 || length + 2 > file.size - at)
            break;
        if (segment[1] == 0xe1 && length >= 8 && memcmp(segment + 4, "Exif\0\0", 6) == 0)
            return read_tiff(without_header((span){ segment + 4, length - 2 }));
        at += length + 2;
    }
    return 1;
}

// Chunks of a length, a name, and what stands around them: 4 bytes of checksum in PNG, one of
// padding after an odd length in WebP.
static int find_in_png(span file)
{
    for (size_t at = 8; file.size - at >= 12;) {
        const uint8_t *chunk = file.bytes + at;
        size_t         length = number(chunk, 4, 1);
        if (length > file.size - at - 12)
            break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            return read_tiff(without_header((span){ chunk + 8, length }));
        at += length + 12;
    }
    return 1;
}

static int find_in_webp(span file)
{
    for (size_t at = 12; file.size - at >= 8;) {
        const uint8_t *chunk = file.bytes + at;
        size_t         length = number(chunk + 4, 4, 0);
        if (length > file.size - at - 8)
            break;
        if (memcmp(chunk, "EXIF", 4) == 0)
            return read_tiff(without_header((span){ chunk + 8, length }));
        length += length & 1;
        if (length > file.size - at - 8)
            break;
        at += length + 8;
    }
    return 1;
}

int th_orientation_find(const void *bytes, size_t size)
{
    span file = { bytes, size };

    if (size >= 4 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return find_in_jpeg(file);
    if (size >= 20 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return find_in_png(file);
    if (size >= 20 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(file.bytes + 8, "WEBP", 4) == 0)
        return find_in_webp(file);
    return 1;
}

th_code th_orientation_apply(int orientation, th_image *image, th_err *err)
{
    th_code  rc = TH_OK;
    th_image turned = { 0 };
    int      width = image->width, height = image->height;
    _Bool    swaps = orientation >= 5;
    // Where the row and the column of the scene begin and run in what is stored.
    _Bool right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    _Bool down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;

    assert(orientation >= 1 && orientation <= 8);
    if (orientation == 1)
        return TH_OK;
    TH_TRY(th_image_shape(&turned, swaps ? height : width, swaps ? width : height, err));
    uint8_t *to = turned.pixels;
    for (int y = 0; y < turned.height; y++)
        for (int x = 0; x < turned.width; x++, to += 3) {
            int column = swaps ? y : x, row = swaps ? x : y;
            column = right ? width - 1 - column : column;
            row = down ? height - 1 - row : row;
            memcpy(to, image->pixels + ((size_t)row * (size_t)width + (size_t)column) * 3, 3);
        }
    th_image_free(image);
    *image = turned;
out:
    return rc;
}
