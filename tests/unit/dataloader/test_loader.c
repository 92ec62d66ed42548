#include "base/log.h"
#include "base/philox.h"
#include "dataloader/image/image.h"
#include "loader_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define SOT (FIXTURE_VOCABULARY - 2)
#define EOT (FIXTURE_VOCABULARY - 1)

// --- content ---

// The slow twin: what a batch must hold, from the order and the fixture alone.
static void batches_hold_what_the_order_says(void **state)
{
    th_pack *pack = open_pack(*state, &plan);

    for (int shuffled = 0; shuffled < 2; shuffled++) {
        th_loader_options options = options_of(pack);
        options.order.shuffled = shuffled;
        options.captions = 0; // all, in order
        th_loader *loader = open_loader(&options);
        for (int64_t t = 0; t < 8; t++) { // three epochs and a half
            const th_batch *batch = next(loader);
            assert_int_equal(batch->position, t * 10);
            assert_int_equal(batch->n, 10);
            assert_int_equal(batch->caption_count, 30);
            const uint8_t *pixel = batch->pixels;
            const int32_t *token = batch->tokens;
            for (int64_t i = 0; i < 10; i++) {
                int64_t record = th_order_record(&options.order, t * (int64_t)10 + i);
                assert_int_equal(batch->records[i], record);
                for (int y = 0; y < 9; y++)
                    for (int x = 0; x < 9; x++, pixel += 3) {
                        assert_int_equal(pixel[0], record);
                        assert_int_equal(pixel[1], x + 2); // round(3 / 2), halves to even
                        assert_int_equal(pixel[2], y);
                    }
                for (int64_t k = 0; k < 3; k++, token += 4) {
                    assert_int_equal(batch->sample_of[i * 3 + k], i);
                    assert_int_equal(batch->offsets[i * 3 + k], token - batch->tokens);
                    assert_int_equal(token[0], SOT);
                    assert_int_equal(token[1], record);
                    assert_int_equal(token[2], k);
                    assert_int_equal(token[3], EOT);
                }
            }
            assert_int_equal(batch->offsets[30], 120);
        }
        th_loader_close(loader);
    }
    th_pack_close(pack);
}

// Random crops, by the functions that a reader can look up: keyed by (seed, epoch, record).
static double draw(void *rng)
{
    return th_rng_uniform(rng);
}

static void random_crops_are_keyed_by_the_record(void **state)
{
    static const double ratio[2] = { 3.0 / 4.0, 4.0 / 3.0 };
    th_pack            *pack = open_pack(*state, &plan);
    th_loader_options   options = options_of(pack);
    int                 differ = 0;
    th_err              err = { 0 };
    fixture             f;

    options.random_crop = true;
    options.order.shuffled = false;
    options.batch = 23;
    options.size = 6;
    th_loader *loader = open_loader(&options);
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        const th_batch *batch = next(loader);
        for (int64_t i = 0; i < 23; i++) {
            th_rng   rng;
            int      box[4];
            th_image out = { 0 };
            fixture_make(&f, i, 12, 9, 3);
            th_image in = { .width = 12, .height = 9, .pixels = f.pixels };
            th_rng_init(&rng, 7, TH_FOR_CROP, epoch, (uint64_t)i);
            th_image_random_box(12, 9, options.crop_scale, ratio, draw, &rng, box);
            th_assert_ok(th_image_resize(&in, TH_FILTER_BICUBIC, box[0], box[1], box[0] + box[2],
                                         box[1] + box[3], 6, 6, &out, &err),
                         &err);
            assert_memory_equal(batch->pixels + i * 108, out.pixels, 108);
            differ += box[2] != 9 || box[3] != 9;
            th_image_free(&out);
            fixture_free(&f);
        }
    }
    assert_true(differ > 30); // of 46: they are crops indeed
    th_loader_close(loader);
    th_pack_close(pack);
}

static void smaller_size_is_the_resized_centre(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    th_image          out = { 0 };
    th_err            err = { 0 };
    fixture           f;

    options.size = 5;
    options.order.shuffled = false;
    th_loader      *loader = open_loader(&options);
    const th_batch *batch = next(loader);
    for (int64_t i = 0; i < 10; i++) {
        fixture_make(&f, i, 12, 9, 3);
        th_image in = { .width = 12, .height = 9, .pixels = f.pixels };
        th_assert_ok(th_image_resize(&in, TH_FILTER_BICUBIC, 2, 0, 11, 9, 5, 5, &out, &err), &err);
        assert_memory_equal(batch->pixels + i * 75, out.pixels, 75);
        fixture_free(&f);
    }
    th_image_free(&out);
    th_loader_close(loader);
    th_pack_close(pack);
}

// A margin is for random crops: without them the centre of the pack's size is taken as it is.
static void margin_is_cut_off(void **state)
{
    static const pack_plan with_margin = {
        .records = 5, .shards = 1, .size = 8, .margin = 4, .captions = 1
    };
    th_pack          *pack = open_pack(*state, &with_margin);
    th_loader_options options = options_of(pack);

    options.batch = 5;
    th_loader      *loader = open_loader(&options);
    const th_batch *batch = next(loader);
    for (int64_t i = 0; i < 5; i++) {
        const uint8_t *first = batch->pixels + i * 192, *last = first + 189;
        assert_int_equal(first[1], 2);
        assert_int_equal(first[2], 2);
        assert_int_equal(last[1], 9);
        assert_int_equal(last[2], 9);
    }
    th_loader_close(loader);
    th_pack_close(pack);
}

// Every second record stays as it is.
static void to_zlib(int64_t number, fixture *f)
{
    uLongf   size = compressBound(f->record.image_bytes);
    uint8_t *packed;

    if (number % 2)
        return;
    assert_non_null(packed = malloc(size));
    assert_int_equal(compress(packed, &size, f->pixels, f->record.image_bytes), Z_OK);
    free(f->pixels);
    f->pixels = packed;
    f->record.codec = TH_CODEC_ZLIB;
    f->record.image = packed;
    f->record.image_bytes = (uint32_t)size;
}

static void codecs_give_the_same_pixels(void **state)
{
    uint64_t  raw[46], packed[46];
    pack_plan zlib = plan;
    th_pack  *pack = open_pack(*state, &plan);

    th_loader_options options = options_of(pack);
    options.random_crop = true;
    collect(&options, 0, 46, raw);
    th_pack_close(pack);
    zlib.change = to_zlib;
    options.pack = pack = open_pack(*state, &zlib);
    collect(&options, 0, 46, packed);
    assert_memory_equal(raw, packed, sizeof raw);
    th_pack_close(pack);
}

// --- the same whatever reads it ---

static void ranks_and_threads_do_not_matter(void **state)
{
    enum { COUNT = 120 }; // five epochs and 5; batches of 10 straddle them
    static const struct {
        int world, threads, ahead;
    } runs[] = { { 1, 1, 1 }, { 1, 4, 3 }, { 2, 1, 2 }, { 3, 2, 1 }, { 4, 3, 4 }, { 7, 1, 1 } };
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    uint64_t          want[COUNT], got[COUNT];

    options.random_crop = true;
    for (int r = 0; r < (int)(sizeof runs / sizeof *runs); r++) {
        options.world_size = runs[r].world;
        options.threads = runs[r].threads;
        options.ahead = runs[r].ahead;
        collect(&options, 0, COUNT, r ? got : want);
        if (r)
            assert_memory_equal(got, want, sizeof want);
    }
    // And they are 120 different samples, but for a picture that is drawn the same way again.
    int same = 0;
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < i; k++)
            same += want[i] == want[k];
    assert_in_range(same, 0, 3);
    th_pack_close(pack);
}

static void batch_size_does_not_matter(void **state)
{
    uint64_t          want[60], got[60];
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);

    collect(&options, 0, 60, want);
    options.batch = 1;
    collect(&options, 0, 60, got);
    assert_memory_equal(got, want, sizeof want);
    options.batch = 60; // more than two epochs in a batch
    collect(&options, 0, 60, got);
    assert_memory_equal(got, want, sizeof want);
    th_pack_close(pack);
}

static void resumed_run_sees_the_same_samples(void **state)
{
    enum { COUNT = 100 };
    static const int64_t from[] = { 10, 23, 37, 70 };
    th_pack             *pack = open_pack(*state, &plan);
    th_loader_options    options = options_of(pack);
    uint64_t             whole[COUNT], rest[COUNT];

    options.random_crop = true;
    collect(&options, 0, COUNT, whole);
    for (int i = 0; i < 4; i++) {
        options.world_size = 1 + i;
        collect(&options, from[i], COUNT - from[i], rest);
        assert_memory_equal(rest, whole + from[i], (size_t)(COUNT - from[i]) * sizeof *rest);
    }
    th_pack_close(pack);
}

// A batch stays as it is until the call after next.
static void two_batches_are_held(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    uint64_t          before[10];

    options.ahead = 1; // the ring is as small as it can be
    th_loader *loader = open_loader(&options);
    for (int t = 0; t < 30; t++) {
        const th_batch *first = next(loader);
        for (int i = 0; i < 10; i++)
            before[i] = sample_hash(first, i, options.size);
        const th_batch *second = next(loader);
        assert_ptr_not_equal(first, second);
        struct timespec little = { .tv_nsec = 2000000 }; // time to read ahead
        nanosleep(&little, NULL);
        for (int i = 0; i < 10; i++)
            assert_int_equal(sample_hash(first, i, options.size), before[i]);
    }
    th_loader_close(loader);
    th_pack_close(pack);
}

static void more_ranks_than_samples(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    uint64_t          want[12], got[12];

    options.batch = 2;
    collect(&options, 0, 12, want);
    options.world_size = 4;
    collect(&options, 0, 12, got); // checks n, which is 0 for two of them
    assert_memory_equal(got, want, sizeof want);
    options.rank = 3;
    th_loader *loader = open_loader(&options);
    for (int t = 0; t < 3; t++) {
        const th_batch *batch = next(loader);
        assert_int_equal(batch->n, 0);
        assert_int_equal(batch->caption_count, 0);
        assert_int_equal(batch->offsets[0], 0);
        assert_int_equal(batch->position, t * 2 + 2);
    }
    th_loader_close(loader);
    th_pack_close(pack);
}

// --- captions ---

// Captions of one epoch: which[i * K + k] is the number of caption k of record i.
static void drawn_captions(th_pack *pack, int64_t captions, int64_t epoch, int *which)
{
    th_loader_options options = options_of(pack);
    int64_t           records = options.order.records;

    options.order.shuffled = false;
    options.captions = captions;
    options.batch = records;
    options.position = epoch * records;
    th_loader      *loader = open_loader(&options);
    const th_batch *batch = next(loader);
    assert_int_equal(batch->caption_count, records * captions);
    for (int64_t c = 0; c < batch->caption_count; c++) {
        assert_int_equal(batch->sample_of[c], c / captions);
        assert_int_equal(batch->offsets[c + 1] - batch->offsets[c], 4);
        assert_int_equal(batch->tokens[batch->offsets[c] + 1], c / captions);
        which[c] = batch->tokens[batch->offsets[c] + 2];
    }
    th_loader_close(loader);
}

// The draw as loader.h tells it: the first K of a shuffle by (seed, epoch, record).
static void expected_draw(uint32_t epoch, int64_t record, int count, int *out)
{
    th_rng rng;

    for (int i = 0; i < count; i++)
        out[i] = i;
    th_rng_init(&rng, 7, TH_FOR_CAPTION, epoch, (uint64_t)record);
    for (int i = 0; i < count; i++) {
        int k = i + (int)th_rng_below(&rng, (uint64_t)(count - i)), held = out[i];
        out[i] = out[k];
        out[k] = held;
    }
}

static void captions_are_drawn_without_replacement(void **state)
{
    enum { EPOCHS = 40, K = 3, C = 5, N = 23 };
    pack_plan five = plan;
    int       which[N * K], counts[C] = { 0 }, first[C] = { 0 }, changed = 0, before[N * K] = { 0 };

    five.captions = C;
    th_pack *pack = open_pack(*state, &five);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        drawn_captions(pack, K, epoch, which);
        for (int i = 0; i < N; i++) {
            int seen = 0, want[C];
            expected_draw((uint32_t)epoch, i, C, want);
            assert_memory_equal(which + (ptrdiff_t)i * K, want, K * sizeof *want);
            for (int k = 0; k < K; k++) {
                int pick = which[i * K + k];
                assert_in_range(pick, 0, C - 1);
                assert_int_equal(seen & 1 << pick, 0);
                seen |= 1 << pick;
                counts[pick]++;
            }
            first[which[(ptrdiff_t)i * K]]++;
            changed +=
                memcmp(which + (ptrdiff_t)i * K, before + (ptrdiff_t)i * K, K * sizeof *which) != 0;
        }
        memcpy(before, which, sizeof which);
    }
    // 920 draws of 3 of 5: each expected 552 times (deviation 14.9) and 184 times first (12.1).
    for (int c = 0; c < C; c++) {
        th_assert_close(counts[c], 552, 4 * 14.9);
        th_assert_close(first[c], 184, 4 * 12.1);
    }
    assert_true(changed > 0.95 * N * EPOCHS); // one of 60 draws is the one before
    th_pack_close(pack);
}

static void few_captions_are_repeated(void **state)
{
    enum { K = 8, C = 3, N = 23 };
    int      which[N * K], beginnings[C] = { 0 };
    th_pack *pack = open_pack(*state, &plan);

    drawn_captions(pack, K, 0, which);
    for (int i = 0; i < N; i++) {
        const int *own = which + (ptrdiff_t)i * K;
        assert_true(own[0] != own[1] && own[1] != own[2] && own[0] != own[2]);
        for (int k = C; k < K; k++)
            assert_int_equal(own[k], own[k - C]); // round and round
        beginnings[own[0]]++;
    }
    for (int c = 0; c < C; c++)
        assert_true(beginnings[c] > 0);
    th_pack_close(pack);
}

static void spell_end_of_text(int64_t number, fixture *f)
{
    if (number == 1)
        f->tokens[0][0] = EOT;
    if (number == 2)
        f->tokens[0][1] = EOT;
    if (number == 3)
        f->captions[0].token_count = 0;
}

static void captions_are_cut_with_their_end_kept(void **state)
{
    static const struct {
        int64_t context, record;
        int     count;
        int32_t tokens[4];
    } cases[] = {
        { 16, 0, 4, { SOT, 0, 0, EOT } }, { 4, 0, 4, { SOT, 0, 0, EOT } },
        { 3, 0, 3, { SOT, 0, EOT } },     { 2, 0, 2, { SOT, EOT } },
        { 16, 1, 2, { SOT, EOT } },       { 16, 2, 3, { SOT, 2, EOT } },
        { 3, 2, 3, { SOT, 2, EOT } },     { 16, 3, 2, { SOT, EOT } },
    };
    static const pack_plan odd = {
        .records = 4, .shards = 1, .size = 4, .captions = 1, .change = spell_end_of_text
    };
    th_pack *pack = open_pack(*state, &odd);

    for (int c = 0; c < (int)(sizeof cases / sizeof *cases); c++) {
        th_loader_options options = options_of(pack);
        options.order.shuffled = false;
        options.batch = 4;
        options.captions = 1;
        options.context = cases[c].context;
        th_loader      *loader = open_loader(&options);
        const th_batch *batch = next(loader);
        int64_t         begin = batch->offsets[cases[c].record];
        assert_int_equal(batch->offsets[cases[c].record + 1] - begin, cases[c].count);
        assert_memory_equal(batch->tokens + begin, cases[c].tokens,
                            (size_t)cases[c].count * sizeof(int32_t));
        th_loader_close(loader);
    }
    th_pack_close(pack);
}

// --- damage ---

// Larger pictures have pages of their own: damage to one is damage to one record.
static const pack_plan large = { .records = 40, .shards = 3, .size = 32, .captions = 1 };

// The log at `path` has one line for each of these records, and no other.
static void assert_named_once(const char *path, const int64_t *records, int count)
{
    char  *text = NULL, words[32];
    size_t size = 0;
    int    lines = 0;
    th_err err = { 0 };

    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, count);
    for (int i = 0; i < count; i++) {
        (void)snprintf(words, sizeof words, "record %lld of pack", (long long)records[i]);
        assert_non_null(strstr(text, words));
    }
    free(text);
}

static void damaged_records_are_replaced_by_the_next(void **state)
{
    enum { COUNT = 80 };
    static const int64_t damaged[] = { 7, 20, 21, 39 }; // two in a row; the last of all
    uint64_t             want[COUNT], got[COUNT];

    pack_write(*state, &large);
    for (int i = 0; i < 4; i++)
        pack_damage(*state, &large, damaged[i]);
    th_pack *pack = NULL;
    th_err   err = { 0 };
    th_assert_ok(th_pack_open(*state, &pack, &err), &err);

    th_loader_options options = options_of(pack);
    char              path[4096];
    th_test_path(path, sizeof path, *state, "log.txt");
    th_assert_ok(th_log_file(path, &err), &err);
    th_loader *loader = open_loader(&options);
    for (int t = 0; t < 8; t++) {
        const th_batch *batch = next(loader);
        for (int64_t i = 0; i < 10; i++) {
            int64_t record = th_order_record(&options.order, t * (int64_t)10 + i);
            int64_t stands_for = record == 7    ? 8
                                 : record == 20 ? 22
                                 : record == 21 ? 22
                                 : record == 39 ? 0
                                                : record;
            assert_int_equal(batch->records[i], stands_for);
            assert_int_equal(batch->pixels[(size_t)i * 32 * 32 * 3], stands_for);
            assert_int_equal(batch->tokens[batch->offsets[i * 2] + 1], stands_for);
        }
    }
    assert_int_equal(th_loader_damaged(loader), 4); // though each was met twice and more
    th_loader_close(loader);
    th_assert_ok(th_log_file(NULL, &err), &err);
    assert_named_once(path, damaged, 4);

    collect(&options, 0, COUNT, want);
    for (int world = 2; world <= 4; world++) {
        options.world_size = world;
        options.threads = world;
        collect(&options, 0, COUNT, got);
        assert_memory_equal(got, want, sizeof want);
    }
    th_pack_close(pack);
}

static void too_much_damage_stops_the_run(void **state)
{
    static const int64_t damaged[] = { 3, 9, 17, 18, 33 };
    th_pack             *pack = NULL;
    th_err               err = { 0 };

    pack_write(*state, &large);
    for (int i = 0; i < 5; i++)
        pack_damage(*state, &large, damaged[i]);
    th_assert_ok(th_pack_open(*state, &pack, &err), &err);
    th_loader_options options = options_of(pack);
    options.order.shuffled = false;
    options.batch = 5;
    options.bad_share = 0.1;                      // 4 of 40: the fifth one, 33, is in batch 6
    for (int ahead = 1; ahead <= 9; ahead += 4) { // however far the threads have read
        options.ahead = ahead;
        options.threads = ahead;
        th_loader      *loader = open_loader(&options);
        const th_batch *batch = NULL;
        for (int t = 0; t < 6; t++)
            (void)next(loader);
        for (int again = 0; again < 3; again++)
            th_assert_error(th_loader_next(loader, &batch, NULL, &err), TH_EDATA, &err,
                            "at least 5 damaged records, and at most 4 of 40");
        th_loader_close(loader);
    }
    options.bad_share = 0;
    options.ahead = 1;
    th_loader      *loader = open_loader(&options);
    const th_batch *batch = NULL;
    th_assert_error(th_loader_next(loader, &batch, NULL, &err), TH_EDATA, &err, "at most 0 of 40");
    th_loader_close(loader);
    th_pack_close(pack);
}

static void spoil(int64_t number, fixture *f)
{
    static const uint8_t rubbish[] = "no JPEG at all";

    if (number == 1)
        f->record.caption_count = 0;
    if (number == 2)
        f->tokens[0][0] = FIXTURE_VOCABULARY;
    if (number == 3)
        f->tokens[0][0] = -1;
    if (number == 4) { // smaller than its pack says
        f->record.width = f->record.height = 3;
        f->record.image_bytes = 27;
    }
    if (number == 5 || number == 6) {
        f->record.codec = number == 5 ? TH_CODEC_JPEG : TH_CODEC_ZLIB;
        f->record.image = rubbish;
        f->record.image_bytes = sizeof rubbish;
    }
}

// Records whose hash is good and whose content is not.
static void bad_content_is_damage(void **state)
{
    static const pack_plan spoilt = {
        .records = 10, .shards = 1, .size = 4, .captions = 1, .change = spoil
    };
    th_pack          *pack = open_pack(*state, &spoilt);
    th_loader_options options = options_of(pack);

    options.order.shuffled = false;
    options.bad_share = 1;
    options.captions = 1;
    th_loader      *loader = open_loader(&options);
    const th_batch *batch = next(loader);
    for (int64_t i = 0; i < 10; i++)
        assert_int_equal(batch->records[i], i >= 1 && i <= 6 ? 7 : i);
    assert_int_equal(th_loader_damaged(loader), 6);
    th_loader_close(loader);
    th_pack_close(pack);
}

static void spoil_all(int64_t number, fixture *f)
{
    (void)number;
    f->record.caption_count = 0;
}

static void nothing_good_is_an_error(void **state)
{
    static const pack_plan spoilt = {
        .records = 10, .shards = 1, .size = 4, .captions = 1, .change = spoil_all
    };
    th_pack          *pack = open_pack(*state, &spoilt);
    th_loader_options options = options_of(pack);
    const th_batch   *batch = NULL;
    th_err            err = { 0 };

    options.bad_share = 1;
    th_loader *loader = open_loader(&options);
    th_assert_error(th_loader_next(loader, &batch, NULL, &err), TH_EDATA, &err, "no captions");
    th_loader_close(loader);
    th_pack_close(pack);
}

// Makes every read of the file fail, as a dying disk would: its descriptor becomes one that cannot
// be read from.
static void break_reading(const char *path)
{
    DIR *folder = opendir("/proc/self/fd");
    char link[64], target[4096], whole[4096];
    int  broken = 0, cannot_read = open("/dev/null", O_WRONLY | O_CLOEXEC);

    assert_non_null(folder);
    assert_return_code(cannot_read, 0);
    assert_non_null(realpath(path, whole));
    for (struct dirent *entry; (entry = readdir(folder));) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%.20s", entry->d_name);
        ssize_t length = readlink(link, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strcmp(target, whole) == 0) {
            assert_return_code(dup2(cannot_read, atoi(entry->d_name)), 0);
            broken++;
        }
    }
    assert_true(broken > 0);
    (void)closedir(folder);
    (void)close(cannot_read);
}

static void error_in_a_thread_comes_out(void **state)
{
    th_pack        *pack = open_pack(*state, &large);
    char            path[4096];
    const th_batch *batch = NULL;
    th_err          err = { 0 };

    th_loader_options options = options_of(pack);
    options.order.shuffled = false;
    th_test_path(path, sizeof path, *state, "pack-00001.lmdb"); // records 13 to 25
    break_reading(path);
    th_loader *loader = open_loader(&options);
    assert_int_equal(next(loader)->n, 10);
    for (int again = 0; again < 3; again++) {
        th_assert_error(th_loader_next(loader, &batch, NULL, &err), TH_EIO, &err,
                        "pack-00001.lmdb");
    }
    assert_int_equal(th_loader_damaged(loader), 0); // a disk's error is no damage to skip
    th_loader_close(loader);
    th_pack_close(pack);
}

// --- threads ---

static double seconds(clockid_t clock)
{
    struct timespec now;

    assert_int_equal(clock_gettime(clock, &now), 0);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void close_joins_at_any_moment(void **state)
{
    th_pack *pack = open_pack(*state, &large);
    double   begin = seconds(CLOCK_MONOTONIC);

    for (int i = 0; i < 60; i++) {
        th_loader_options options = options_of(pack);
        options.threads = 1 + i % 4;
        options.ahead = 1 + i % 7;
        th_loader *loader = open_loader(&options);
        for (int t = 0; t < i % 5; t++)
            (void)next(loader);
        th_loader_close(loader);
    }
    th_loader_close(NULL);
    assert_true(seconds(CLOCK_MONOTONIC) - begin < 20); // some milliseconds, but for a busy machine
    th_pack_close(pack);
}

// With the ring full nothing is left to do: the threads use no processor time. A spinning one would
// use all of the 300 ms.
static void threads_sleep_when_all_is_read(void **state)
{
    th_pack          *pack = open_pack(*state, &large);
    th_loader_options options = options_of(pack);
    struct timespec   pause = { .tv_nsec = 300000000 };

    th_loader *loader = open_loader(&options);
    (void)next(loader);
    nanosleep(&pause, NULL);
    double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&pause, NULL);
    assert_true(seconds(CLOCK_PROCESS_CPUTIME_ID) - begin < 0.03);
    th_loader_close(loader);
    th_pack_close(pack);
}

// In seconds, and not more than the call took.
static void waiting_is_told(void **state)
{
    th_pack          *pack = open_pack(*state, &large);
    th_loader_options options = options_of(pack);
    const th_batch   *batch = NULL;
    th_err            err = { 0 };

    options.batch = 200;
    th_loader *loader = open_loader(&options);
    for (int t = 0; t < 20; t++) {
        double waited = -1, begin = seconds(CLOCK_MONOTONIC);
        th_assert_ok(th_loader_next(loader, &batch, &waited, &err), &err);
        assert_true(waited > 0 && waited <= seconds(CLOCK_MONOTONIC) - begin);
    }
    th_loader_close(loader);
    th_pack_close(pack);
}

// --- what is asked for ---

static bool no_row(void *context, int64_t record, uint32_t view, void *out_row)
{
    (void)context, (void)record, (void)view, (void)out_row;
    return false;
}

static void impossible_options_are_refused(void **state)
{
    th_pack   *pack = open_pack(*state, &plan);
    th_loader *loader = NULL;
    th_err     err = { 0 };

#define REFUSED(words, ...)                                                                        \
    do {                                                                                           \
        th_loader_options o = options_of(pack);                                                    \
        __VA_ARGS__;                                                                               \
        th_assert_error(th_loader_open(&o, &loader, &err), TH_EUSAGE, &err, words);                \
    } while (0)
    REFUSED("pictures of 10 pixels are asked of pack", o.size = 10);
    REFUSED("pictures of 0 pixels", o.size = 0);
    REFUSED("22 records", o.order.records = 22);
    REFUSED("batches of 0", o.batch = 0);
    REFUSED("rank 1 of 1", o.rank = 1);
    REFUSED("captions", o.captions = -1);
    REFUSED("captions", o.captions = TH_RECORD_CAPTIONS + 1);
    REFUSED("context 1", o.context = 1);
    REFUSED("0 threads", o.threads = 0);
    REFUSED("0 ahead", o.ahead = 0);
    REFUSED("bad share", o.bad_share = NAN);
    REFUSED("random crops", o.random_crop = true, o.crop_scale[0] = 0);
    REFUSED("random crops", o.random_crop = true, o.crop_scale[1] = 0.4);
    REFUSED("random crops", o.random_crop = true, o.crop_scale[1] = 1.5);
    REFUSED("-1 views", o.random_crop = true, o.views = -1);
    REFUSED("new in each epoch", o.random_crop = true, o.rows.get = no_row);
#undef REFUSED
    th_pack_close(pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(batches_hold_what_the_order_says),
        IN_FOLDER(random_crops_are_keyed_by_the_record),
        IN_FOLDER(smaller_size_is_the_resized_centre),
        IN_FOLDER(margin_is_cut_off),
        IN_FOLDER(codecs_give_the_same_pixels),
        IN_FOLDER(ranks_and_threads_do_not_matter),
        IN_FOLDER(batch_size_does_not_matter),
        IN_FOLDER(resumed_run_sees_the_same_samples),
        IN_FOLDER(two_batches_are_held),
        IN_FOLDER(more_ranks_than_samples),
        IN_FOLDER(captions_are_drawn_without_replacement),
        IN_FOLDER(few_captions_are_repeated),
        IN_FOLDER(captions_are_cut_with_their_end_kept),
        IN_FOLDER(damaged_records_are_replaced_by_the_next),
        IN_FOLDER(too_much_damage_stops_the_run),
        IN_FOLDER(bad_content_is_damage),
        IN_FOLDER(nothing_good_is_an_error),
        IN_FOLDER(error_in_a_thread_comes_out),
        IN_FOLDER(close_joins_at_any_moment),
        IN_FOLDER(threads_sleep_when_all_is_read),
        IN_FOLDER(waiting_is_told),
        IN_FOLDER(impossible_options_are_refused),
    };
    th_log_setup(TH_ALARM, -1); // damage is warned of, and there is a lot of it
    return cmocka_run_group_tests(tests, NULL, NULL);
}
