#include "launch/demo/font.h"

#include "base/file.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

#define FONT_MOST ((size_t)256 << 20)
#define GLYPHS    65536u
#define CODES     0x110000u

static const char fix_font[] = "reinstall fonts-noto-color-emoji";

typedef struct {
    const unsigned char *at;
    size_t               size;
} part; // of the file; numbers in it are big-endian

static uint32_t u16(part p, size_t at)
{
    return (uint32_t)p.at[at] << 8 | p.at[at + 1];
}

static uint32_t u32(part p, size_t at)
{
    return u16(p, at) << 16 | u16(p, at + 2);
}

// What lies from `at` on, when that is at least `size` bytes.
static th_code part_at(part whole, size_t at, size_t size, const char *what, part *out, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(at <= whole.size && size <= whole.size - at, TH_EDATA, fix_font,
             "damaged font: %s lies outside of what holds it", what);
    *out = (part){ whole.at + at, whole.size - at };
out:
    return rc;
}

static th_code find_table(part file, const char *tag, size_t least, part *out, th_err *err)
{
    th_code rc = TH_OK;
    part    directory = { 0 };
    size_t  count;

    TH_TRY(part_at(file, 0, 12, "the header", &directory, err));
    count = u16(directory, 4);
    TH_TRY(part_at(file, 12, 16 * count, "the table of tables", &directory, err));
    for (size_t i = 0; i < count; i++) {
        size_t size = u32(directory, 16 * i + 12);

        if (memcmp(directory.at + 16 * i, tag, 4) != 0)
            continue;
        TH_TRY(part_at(file, u32(directory, 16 * i + 8), size, tag, out, err));
        out->size = size;
        TH_CHECK(size >= least, TH_EDATA, fix_font, "damaged font: table %s has %zu bytes", tag,
                 size);
        return TH_OK;
    }
    TH_FAIL(TH_EDATA, fix_font, "a font without table %s: no pictures in it", tag);
out:
    return rc;
}

// The PNG of a glyph, whose CBDT entry is size bytes at `data` in one of the image formats.
static th_code read_image(part data, uint32_t format, size_t size, part *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  metrics = format == 17 ? 5 : format == 18 ? 8 : 0;
    part    image = { 0 };

    TH_CHECK(format >= 17 && format <= 19, TH_EDATA, fix_font,
             "a font with pictures in format %u, not 17 to 19", format);
    data.size = size;
    TH_TRY(part_at(data, metrics, 4, "a picture", &image, err));
    size = u32(image, 0);
    TH_TRY(part_at(image, 4, size, "a picture", out, err));
    out->size = size;
out:
    return rc;
}

// One index subtable: pictures of the glyphs first..last.
static th_code read_subtable(part index, uint32_t first, uint32_t last, part cbdt, part *images,
                             th_err *err)
{
    th_code  rc = TH_OK;
    uint32_t format = u16(index, 0), image_format = u16(index, 2);
    size_t   width = format == 1 ? 4 : 2;
    part     offsets = { 0 }, data = { 0 };

    TH_CHECK(format == 1 || format == 3, TH_EDATA, fix_font,
             "a font with a picture index in format %u, not 1 or 3", format);
    TH_CHECK(first <= last, TH_EDATA, fix_font, "damaged font: an index of glyphs %u to %u", first,
             last);
    TH_TRY(part_at(index, 8, width * (last - first + 2), "an index of pictures", &offsets, err));
    TH_TRY(part_at(cbdt, u32(index, 4), 0, "the pictures", &data, err));
    for (uint32_t glyph = first; glyph <= last; glyph++) {
        size_t i = width * (glyph - first);
        size_t begin = width == 4 ? u32(offsets, i) : u16(offsets, i);
        size_t end = width == 4 ? u32(offsets, i + 4) : u16(offsets, i + 2);
        part   image = { 0 };

        if (begin == end)
            continue; // a glyph without a picture
        TH_CHECK(begin < end, TH_EDATA, fix_font, "damaged font: glyph %u has a negative size",
                 glyph);
        TH_TRY(part_at(data, begin, end - begin, "a picture", &image, err));
        TH_TRY(read_image(image, image_format, end - begin, &images[glyph], err));
    }
out:
    return rc;
}

// Fills images[glyph] from the first size that the font has pictures in.
static th_code read_images(part file, part *images, th_err *err)
{
    th_code rc = TH_OK;
    part    cblc = { 0 }, cbdt = { 0 }, array = { 0 };
    size_t  array_at, count;

    TH_TRY(find_table(file, "CBLC", 8, &cblc, err));
    TH_TRY(find_table(file, "CBDT", 4, &cbdt, err));
    TH_CHECK(u16(cblc, 0) == 3 && u16(cbdt, 0) == 3 && u32(cblc, 4) > 0 && cblc.size >= 56,
             TH_EDATA, fix_font, "a font with pictures of version %u, not 3", u16(cblc, 0));
    array_at = u32(cblc, 8);
    count = u32(cblc, 16);
    TH_TRY(part_at(cblc, array_at, 8 * count, "the list of picture indices", &array, err));
    for (size_t i = 0; i < count; i++) {
        part index = { 0 };

        TH_TRY(part_at(array, u32(array, 8 * i + 4), 8, "an index of pictures", &index, err));
        TH_TRY(read_subtable(index, u16(array, 8 * i), u16(array, 8 * i + 2), cbdt, images, err));
    }
out:
    return rc;
}

static th_code find_groups(part file, part *out, size_t *out_count, th_err *err)
{
    th_code rc = TH_OK;
    part    cmap = { 0 }, table = { 0 };
    size_t  count;

    TH_TRY(find_table(file, "cmap", 4, &cmap, err));
    count = u16(cmap, 2);
    TH_TRY(part_at(cmap, 4, 8 * count, "the list of character maps", &table, err));
    for (size_t i = 0; i < count; i++) {
        part map = { 0 };

        TH_TRY(part_at(cmap, u32(table, 8 * i + 4), 2, "a character map", &map, err));
        if (u16(map, 0) != 12)
            continue;
        TH_TRY(part_at(map, 0, 16, "a character map", &map, err));
        *out_count = u32(map, 12);
        return part_at(map, 16, 12 * *out_count, "a character map", out, err);
    }
    TH_FAIL(TH_EDATA, fix_font, "a font without a character map of format 12");
out:
    return rc;
}

static th_code read_characters(part file, const part *images, th_font *font, th_err *err)
{
    th_code  rc = TH_OK;
    part     groups = { 0 };
    size_t   count = 0;
    uint32_t next = 0;
    void    *memory;

    TH_TRY(find_groups(file, &groups, &count, err));
    TH_TRY(th_alloc(CODES, sizeof *font->pictures, "the font's characters", &memory, err));
    font->pictures = memory;
    for (size_t i = 0; i < count; i++) {
        uint32_t first = u32(groups, 12 * i), last = u32(groups, 12 * i + 4);
        uint32_t glyph = u32(groups, 12 * i + 8);

        TH_CHECK(first >= next && first <= last && last < CODES && glyph < GLYPHS &&
                     last - first < GLYPHS - glyph,
                 TH_EDATA, fix_font, "damaged font: characters %X to %X", first, last);
        next = last + 1;
        for (uint32_t code = first; code <= last; code++) {
            part image = images[glyph + code - first];

            if (image.at)
                font->pictures[font->count++] = (th_picture){ code, image.at, image.size };
        }
    }
out:
    return rc;
}

th_code th_font_open(const char *path, th_font *font, th_err *err)
{
    th_code rc = TH_OK;
    part    file, *images = NULL; // [GLYPHS]
    void   *memory;

    *font = (th_font){ 0 };
    TH_TRY(th_file_read(path, FONT_MOST, &font->bytes, &file.size, err));
    file.at = (const unsigned char *)font->bytes;
    TH_TRY(th_alloc(GLYPHS, sizeof *images, "the font's pictures", &memory, err));
    images = memory;
    TH_TRY(read_images(file, images, err));
    TH_TRY(read_characters(file, images, font, err));
out:
    free(images);
    if (rc == TH_OK)
        return rc;
    th_font_close(font);
    return th_during(err, "reading font \"%s\"", path);
}

void th_font_close(th_font *font)
{
    free(font->bytes);
    free(font->pictures);
    *font = (th_font){ 0 };
}
