/* tests/unit/dataloader/loader_fixture.h - loaders of a small pack, and their samples as numbers.
 */
#ifndef TH_TESTS_LOADER_FIXTURE_H
#define TH_TESTS_LOADER_FIXTURE_H

#include "base/slice.h"
#include "dataloader/loader.h"
#include "pack_fixture.h"

// 23 records of 12 x 9 pixels with three captions, in two shards. A fixture's pixel (x, y) of
// record i is (i, x, y), so that a picture shows where it was cut.
static const pack_plan plan = { .records = 23, .shards = 2, .size = 9, .wider = 3, .captions = 3 };

static inline th_pack *open_pack(const char *folder, const pack_plan *what)
{
    th_pack *pack = NULL;
    th_err   err = { 0 };

    pack_write(folder, what);
    th_assert_ok(th_pack_open(folder, &pack, &err), &err);
    return pack;
}

static inline th_loader_options options_of(th_pack *pack)
{
    return (th_loader_options){
        .pack = pack,
        .order = { .seed = 7, .records = th_pack_describe(pack)->records, .shuffled = true },
        .batch = 10,
        .world_size = 1,
        .captions = 2,
        .size = th_pack_describe(pack)->size,
        .crop_scale = { 0.5, 1.0 },
        .context = 16,
        .threads = 2,
        .ahead = 2,
        .bad_share = 0.2,
    };
}

static inline th_loader *open_loader(const th_loader_options *options)
{
    th_loader *loader = NULL;
    th_err     err = { 0 };

    th_assert_ok(th_loader_open(options, &loader, &err), &err);
    return loader;
}

static inline const th_batch *next(th_loader *loader)
{
    const th_batch *batch = NULL;
    th_err          err = { 0 };

    th_assert_ok(th_loader_next(loader, &batch, NULL, &err), &err);
    return batch;
}

// A sample as one number: its record, pixels and captions. Equal samples have equal numbers.
static inline uint64_t sample_hash(const th_batch *batch, int64_t i, int64_t size)
{
    uint64_t      parts[3] = { (uint64_t)batch->records[i], 0, 0 };
    size_t        bytes = (size_t)size * (size_t)size * 3;
    unsigned char text[4096];
    size_t        used = 0;

    parts[1] = th_hash(batch->pixels + (size_t)i * bytes, bytes);
    for (int64_t c = 0; c < batch->caption_count; c++) {
        if (batch->sample_of[c] != i)
            continue;
        size_t length = (size_t)(batch->offsets[c + 1] - batch->offsets[c]) * sizeof(int32_t);
        assert_true(used + length <= sizeof text);
        memcpy(text + used, batch->tokens + batch->offsets[c], length);
        used += length;
    }
    parts[2] = th_hash(text, used);
    return th_hash(parts, sizeof parts);
}

// Hashes of the samples at positions [from, from + count) as a run with these options sees them:
// the slices of all ranks, put together.
static inline void collect(const th_loader_options *options, int64_t from, int64_t count,
                           uint64_t *out)
{
    th_loader *loaders[8];

    for (int rank = 0; rank < options->world_size; rank++) {
        th_loader_options mine = *options;
        mine.position = from;
        mine.rank = rank;
        loaders[rank] = open_loader(&mine);
    }
    for (int64_t at = 0; at < count;) {
        for (int rank = 0; rank < options->world_size; rank++) {
            const th_batch *batch = next(loaders[rank]);
            assert_int_equal(batch->n, th_slice_count(options->batch, options->world_size, rank));
            for (int64_t i = 0; i < batch->n; i++, at++) {
                assert_int_equal(batch->position + i, from + at);
                if (at < count)
                    out[at] = sample_hash(batch, i, options->size);
            }
        }
    }
    for (int rank = 0; rank < options->world_size; rank++)
        th_loader_close(loaders[rank]);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

#endif
