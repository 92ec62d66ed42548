/* tests/bench/bench_pack.c - pictures packed in a second by one thread.
 *
 *     bench_pack [FOLDER]        a scratch folder is made in FOLDER, else in /tmp
 *
 * A tar of JPEGs with one short caption each is packed to 224 pixels. The JPEGs are 256 x 256, and
 * 500 x 375 as data sets from the web are resized; some smooth waves and some noise, quality 90,
 * which gives about 25 kB at 256 pixels. Both passes count, the training of a small tokenizer too.
 */
#include "base/error.h"
#include "base/philox.h"
#include "dataloader/image/image.h"
#include "dataloader/packer.h"
#include "tests/bench/report.h"

#include <archive.h>
#include <archive_entry.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PICTURES 1000 // of KINDS different ones
#define KINDS    20
#define RUNS     3

static const char fix[] = "name a folder with 500 MB of room";

static th_code add_member(struct archive *tar, int i, const char *extension, const void *bytes,
                          size_t size, th_err *err)
{
    th_code               rc = TH_OK;
    char                  name[32];
    struct archive_entry *entry = archive_entry_new();

    TH_CHECK(entry, TH_EIO, fix, "out of memory");
    (void)snprintf(name, sizeof name, "%05d.%s", i, extension);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    TH_CHECK(archive_write_header(tar, entry) == ARCHIVE_OK &&
                 archive_write_data(tar, bytes, size) == (la_ssize_t)size,
             TH_EIO, fix, "could not write the tar: %s", archive_error_string(tar));
out:
    archive_entry_free(entry);
    return rc;
}

// Waves of a few lengths with noise of 12 levels on top.
static th_code make_jpeg(int width, int height, int kind, uint8_t **out, size_t *out_size,
                         th_err *err)
{
    th_code  rc = TH_OK;
    th_image image = { 0 };
    th_rng   rng;

    th_rng_init(&rng, 1, TH_FOR_TEST, 0, (uint64_t)kind);
    TH_TRY(th_image_shape(&image, width, height, err));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                double wave =
                    sin(x * 0.02 * (kind + 1)) + sin(y * 0.03 * (c + 2)) + sin((x + y) * 0.3);
                double noise = (double)th_rng_below(&rng, 12);
                image.pixels[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)(120 + 36 * wave + noise);
            }
    TH_TRY(th_image_encode_jpeg(&image, 90, out, out_size, err));
out:
    th_image_free(&image);
    return rc;
}

static th_code make_tar(const char *path, int width, int height, double *out_bytes, th_err *err)
{
    th_code         rc = TH_OK;
    struct archive *tar = archive_write_new();
    uint8_t        *jpeg = NULL;
    size_t          size;

    *out_bytes = 0;
    TH_CHECK(tar && archive_write_set_format_ustar(tar) == ARCHIVE_OK &&
                 archive_write_open_filename(tar, path) == ARCHIVE_OK,
             TH_EIO, fix, "could not create \"%s\"", path);
    for (int i = 0; i < PICTURES; i++) {
        char caption[64];
        if (i % (PICTURES / KINDS) == 0) {
            free(jpeg);
            jpeg = NULL;
            TH_TRY(make_jpeg(width, height, i / (PICTURES / KINDS), &jpeg, &size, err));
        }
        *out_bytes += (double)size / PICTURES;
        TH_TRY(add_member(tar, i, "jpg", jpeg, size, err));
        int length = snprintf(caption, sizeof caption, "a photo of waves and noise, number %d", i);
        TH_TRY(add_member(tar, i, "txt", caption, (size_t)length, err));
    }
    TH_CHECK(archive_write_close(tar) == ARCHIVE_OK, TH_EIO, fix, "could not close \"%s\"", path);
out:
    free(jpeg);
    if (tar)
        (void)archive_write_free(tar);
    return rc;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static th_code pack(const char *folder, const char *codec, const char *size_name, double jpeg_bytes,
                    th_err *err)
{
    th_code         rc = TH_OK;
    char            from[512], to[512];
    double          seconds[RUNS];
    th_pack_report  report;
    th_pack_options options = { .from = from,
                                .to = to,
                                .size = 224,
                                .codec = codec,
                                .alpha = "white",
                                .exif = "ignore",
                                .filter = "bicubic",
                                .quality = 92,
                                .bpe = 1000,
                                .normalization = "clip",
                                .threads = 1,
                                .caption_bytes = 8192 };

    (void)snprintf(from, sizeof from, "wds:%s/%s.tar", folder, size_name);
    (void)snprintf(to, sizeof to, "%s/pack", folder);
    for (int i = 0; i < RUNS; i++) {
        double began = th_bench_now();
        TH_TRY(th_pack_build(&options, NULL, NULL, &report, err));
        seconds[i] = th_bench_now() - began;
        TH_CHECK(nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, TH_EIO, fix,
                 "could not remove \"%s\"", to);
    }
    double median = th_bench_median(seconds, RUNS);
    th_report_begin("pack");
    th_report_text("pictures", size_name);
    th_report_text("codec", codec);
    th_report_number("jpeg_bytes", jpeg_bytes);
    th_report_number("threads", 1);
    th_report_number("pictures_per_second", PICTURES / median);
    th_report_number("slowest", PICTURES / seconds[RUNS - 1]);
    th_report_number("fastest", PICTURES / seconds[0]);
    th_report_end();
out:
    return rc;
}

static th_code run(const char *folder, th_err *err)
{
    static const struct {
        const char *name;
        int         width, height;
    } sizes[] = { { "256x256", 256, 256 }, { "500x375", 500, 375 } };
    static const char *const codecs[] = { "jpeg", "raw" };
    th_code                  rc = TH_OK;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char   path[512];
        double jpeg_bytes;
        (void)snprintf(path, sizeof path, "%s/%s.tar", folder, sizes[i].name);
        TH_TRY(make_tar(path, sizes[i].width, sizes[i].height, &jpeg_bytes, err));
        for (size_t k = 0; k < sizeof codecs / sizeof *codecs; k++)
            TH_TRY(pack(folder, codecs[k], sizes[i].name, jpeg_bytes, err));
    }
out:
    return rc;
}

int main(int count, char **words)
{
    char   folder[400];
    th_err err = { 0 };

    (void)snprintf(folder, sizeof folder, "%s/bench-pack-XXXXXX", count > 1 ? words[1] : "/tmp");
    if (!mkdtemp(folder)) {
        (void)fprintf(stderr, "%s: could not make \"%s\"\n", words[0], folder);
        return 74;
    }
    th_code rc = run(folder, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: %s (%s)\n", words[0], err.what, err.fix);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return th_exit_code(rc);
}
