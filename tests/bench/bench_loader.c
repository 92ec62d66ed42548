/* tests/bench/bench_loader.c - records a second, from shard to the rows of the patch embedding.
 *
 *     bench_loader [FOLDER [RECORDS [ROUNDS]]]       ., 512 records of 256 px, 7 rounds
 *
 * For the codecs raw, zlib and jpeg (quality 90), with the central crop of 224 (no resize) and with
 * random crops (RandomResizedCrop 0.9 .. 1, which resize): one loader thread and the conversion to
 * normalised floats, both on one core. A round is an epoch; prints the median after one that is not
 * counted, so that shards come from the page cache. Pictures are made up: noise of octaves from 4
 * to 256 px with falling amplitude; as JPEG they take 20 kB. */
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "dataloader/image/image.h"
#include "dataloader/loader.h"
#include "tests/bench/report.h"
#include "trainer/nn/patch.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define STORED      256
#define SIZE        224
#define PATCH       32
#define BATCH       64
#define QUALITY     90
#define MERGES      "#version: 0.2\n" // bytes alone
#define MOST_ROUNDS 100

// A picture of noise in octaves: each is a coarse grid of random pixels, resized to the whole.
static th_code make_picture(uint64_t number, th_image *out, th_err *err)
{
    th_code  rc = TH_OK;
    th_image coarse = { 0 }, smooth = { 0 };
    th_rng   rng;
    float   *sum = NULL;
    size_t   values = (size_t)STORED * STORED * 3;

    th_rng_init(&rng, 1, TH_FOR_TEST, 0, number);
    TH_TRY(th_alloc(values, sizeof *sum, "a picture", (void **)&sum, err));
    for (int grid = 4; grid <= STORED; grid *= 2) {
        TH_TRY(th_image_shape(&coarse, grid, grid, err));
        for (size_t i = 0; i < (size_t)grid * (size_t)grid * 3; i++)
            coarse.pixels[i] = (uint8_t)th_rng_u32(&rng);
        TH_TRY(th_image_resize(&coarse, TH_FILTER_BICUBIC, 0, 0, grid, grid, STORED, STORED,
                               &smooth, err));
        for (size_t i = 0; i < values; i++)
            sum[i] += ((float)smooth.pixels[i] - 128) * 2.5f / powf((float)grid, 0.75f);
    }
    TH_TRY(th_image_shape(out, STORED, STORED, err));
    for (size_t i = 0; i < values; i++) {
        float value = 128 + sum[i];
        out->pixels[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
out:
    free(sum);
    th_image_free(&coarse);
    th_image_free(&smooth);
    return rc;
}

// The picture in a codec: *out is free()d by the caller.
static th_code encode(const th_image *picture, th_codec codec, uint8_t **out, size_t *out_size,
                      th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = (size_t)STORED * STORED * 3;
    uLongf  packed = compressBound(size);

    if (codec == TH_CODEC_JPEG)
        return th_image_encode_jpeg(picture, QUALITY, out, out_size, err);
    TH_TRY(th_alloc(packed, 1, "a picture", (void **)out, err));
    if (codec == TH_CODEC_ZLIB) {
        TH_CHECK(compress(*out, &packed, picture->pixels, size) == Z_OK, TH_EIO, "",
                 "could not compress a picture");
        *out_size = packed;
    } else {
        memcpy(*out, picture->pixels, size);
        *out_size = size;
    }
out:
    return rc;
}

static th_code append(th_shard_writer *writer, int64_t number, th_codec codec, th_err *err)
{
    th_code    rc = TH_OK;
    th_image   picture = { 0 };
    uint8_t   *bytes = NULL;
    size_t     size = 0;
    int32_t    tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    th_caption caption = {
        .text = "a caption", .text_bytes = 9, .tokens = tokens, .token_count = 8
    };

    TH_TRY(make_picture((uint64_t)number, &picture, err));
    TH_TRY(encode(&picture, codec, &bytes, &size, err));
    th_record record = { .sample_id = (uint64_t)number,
                         .width = STORED,
                         .height = STORED,
                         .codec = codec,
                         .image = bytes,
                         .image_bytes = (uint32_t)size,
                         .caption_count = 1,
                         .captions = &caption };
    TH_TRY(th_shard_append(writer, &record, err));
out:
    th_image_free(&picture);
    free(bytes);
    return rc;
}

static th_code write_pack(const char *folder, th_codec codec, int64_t records, th_err *err)
{
    static const char *const names[] = { "raw", "zlib", "jpeg" };

    th_code          rc = TH_OK;
    th_shard_info    shard = { .file = "bench-00000.lmdb" };
    th_pack_info     info = { .size = SIZE,
                              .margin = STORED - SIZE,
                              .filter = "bicubic",
                              .alpha = "white",
                              .exif = "ignore",
                              .mean = { 0.48145466f, 0.4578275f, 0.40821073f },
                              .deviation = { 0.26862954f, 0.26130258f, 0.27577711f },
                              .normalization = "clip",
                              .records = records,
                              .captions = records,
                              .shard_count = 1,
                              .shards = &shard };
    th_tokenizer    *tokenizer = NULL;
    th_shard_writer *writer = NULL;
    char             path[PATH_MAX];

    (void)snprintf(info.codec, sizeof info.codec, "%s", names[codec]);
    TH_TRY(th_folder_make(folder, err));
    (void)th_path_join(path, sizeof path, folder, TH_TOKENIZER_MERGES);
    TH_TRY(th_file_replace(path, MERGES, strlen(MERGES), err));
    TH_TRY(th_tokenizer_open_file(path, &tokenizer, err));
    info.vocabulary = th_tokenizer_vocabulary(tokenizer);
    info.tokenizer_hash = th_tokenizer_hash(tokenizer);
    (void)th_path_join(path, sizeof path, folder, shard.file);
    TH_TRY(th_shard_create(path, &writer, err));
    for (int64_t i = 0; i < records; i++)
        TH_TRY(append(writer, i, codec, err));
    TH_TRY(th_shard_commit(writer, &shard.records, &shard.bytes, &shard.hash, err));
    TH_TRY(th_pack_commit(folder, &info, err));
out:
    th_shard_writer_close(writer);
    th_tokenizer_close(tokenizer);
    return rc;
}

static double processor_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Seconds for one epoch.
static th_code run_epoch(th_loader *loader, const th_patches *patches, int64_t records,
                         th_real *rows, double *out, th_err *err)
{
    th_code rc = TH_OK;
    int64_t grid = SIZE / PATCH;
    double  begin = th_bench_now();

    for (int64_t at = 0; at < records; at += BATCH) {
        const th_batch *batch = NULL;
        TH_TRY(th_loader_next(loader, &batch, NULL, err));
        th_patch_rows(patches, batch->pixels, 0, batch->n * grid * grid, rows);
    }
    *out = th_bench_now() - begin;
out:
    return rc;
}

static th_code measure(th_pack *pack, bool random_crop, int rounds, th_err *err)
{
    th_code             rc = TH_OK;
    const th_pack_info *info = th_pack_describe(pack);
    th_loader_options   options = {
          .pack = pack,
          .order = { .seed = 1, .records = info->records, .shuffled = true },
          .batch = BATCH,
          .world_size = 1,
          .captions = 1,
          .size = SIZE,
          .random_crop = random_crop,
          .crop_scale = { 0.9, 1.0 },
          .context = 77,
          .threads = 1,
          .ahead = 2
    };
    th_loader *loader = NULL;
    th_patches patches;
    th_real   *rows = NULL;
    double     seconds[MOST_ROUNDS + 1];

    th_patches_init(&patches, SIZE, PATCH, info->mean, info->deviation);
    TH_TRY(th_alloc((size_t)BATCH * SIZE * SIZE * 3, sizeof *rows, "patches", (void **)&rows, err));
    TH_TRY(th_loader_open(&options, &loader, err));
    TH_TRY(run_epoch(loader, &patches, info->records, rows, &seconds[0], err));
    double processor = processor_seconds();
    for (int i = 1; i <= rounds; i++)
        TH_TRY(run_epoch(loader, &patches, info->records, rows, &seconds[i], err));
    processor = processor_seconds() - processor;
    double median = th_bench_median(seconds + 1, rounds); // sorts them
    th_report_begin("loader");
    th_report_text("codec", info->codec);
    th_report_text("crop", random_crop ? "random, 0.9 to 1 of the area, resized" : "centre");
    th_report_number("stored_px", STORED);
    th_report_number("crop_px", SIZE);
    th_report_number("record_bytes", (double)info->shards[0].bytes / (double)info->records);
    th_report_number("records", (double)info->records);
    th_report_number("cores_used", 1);
    th_report_number("records_per_second", (double)info->records / median);
    th_report_number("records_per_second_worst", (double)info->records / seconds[rounds]);
    th_report_number("records_per_second_best", (double)info->records / seconds[1]);
    th_report_number("records_per_processor_second",
                     (double)(info->records * rounds) / processor); // on a machine that is shared
    th_report_end();
out:
    th_loader_close(loader);
    free(rows);
    return rc;
}

static th_code run(const char *folder, int64_t records, int rounds, th_err *err)
{
    th_code   rc = TH_OK;
    th_pack  *pack = NULL;
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(sched_getcpu(), &cores);
    TH_CHECK(sched_setaffinity(0, sizeof cores, &cores) == 0, TH_EIO, "",
             "could not keep to a core");
    for (int codec = TH_CODEC_RAW; codec <= TH_CODEC_JPEG; codec++) {
        char        path[PATH_MAX];
        const char *files[] = { TH_PACK_DATASET, TH_TOKENIZER_MERGES, "bench-00000.lmdb" };
        TH_CHECK(snprintf(path, sizeof path, "%s/bench-loader", folder) < (int)sizeof path, TH_EIO,
                 "", "path is too long");
        TH_TRY(write_pack(path, (th_codec)codec, records, err));
        TH_TRY(th_pack_open(path, &pack, err));
        TH_TRY(measure(pack, false, rounds, err));
        TH_TRY(measure(pack, true, rounds, err));
        th_pack_close(pack);
        pack = NULL;
        for (int i = 0; i < 3; i++) {
            char file[PATH_MAX];
            if (th_path_join(file, sizeof file, path, files[i]))
                (void)unlink(file);
        }
        (void)rmdir(path);
    }
out:
    th_pack_close(pack);
    return rc;
}

int main(int argc, char **argv)
{
    int64_t records = argc > 2 ? atoll(argv[2]) : 512;
    int     rounds = argc > 3 ? atoi(argv[3]) : 7;
    th_err  err = { 0 };

    if (records < 1 || rounds < 1 || rounds > MOST_ROUNDS) {
        (void)fprintf(stderr, "usage: bench_loader [FOLDER [RECORDS [ROUNDS]]]\n");
        return 2;
    }
    th_code rc = run(argc > 1 ? argv[1] : ".", records, rounds, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "bench_loader: %s (%s)\n", err.what, err.trail);
    return th_exit_code(rc);
}
