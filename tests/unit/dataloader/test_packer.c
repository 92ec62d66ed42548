// From source to pack: every picture and caption, the split, the shards, and the folder.
#include "base/file.h"
#include "base/memory.h"
#include "dataloader/packer.h"
#include "dataloader/packer_ordered.h"
#include "tests/test.h"
#include "tests/unit/dataloader/make_picture.h"
#include "tests/unit/dataloader/make_tar.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <unistd.h>

#define SAMPLES 60

static void put_png(struct archive *tar, const char *name, const th_image *image)
{
    uint8_t *bytes;
    size_t   size;
    th_err   err = { 0 };

    th_assert_ok(th_image_encode_png(image, &bytes, &size, &err), &err);
    th_tar_add(tar, name, bytes, size);
    free(bytes);
}

// Sample i: wide, high, square or small.
static th_image picture_of(int i)
{
    static const int sizes[][2] = { { 70, 50 }, { 41, 90 }, { 64, 64 }, { 20, 15 }, { 40, 40 } };
    const int       *size = sizes[i % 5];

    return th_make_noise(size[0] + i / 5, size[1] + i / 5, (uint32_t)i);
}

static void captions_of(int i, char *out, size_t size)
{
    (void)snprintf(out, size, "  a picture of number %d \r\n\n\xe9\x9b\xaa n\xc3\xbamero %d%s", i,
                   i, i % 3 ? "\nthird" : "\n");
}

static void make_tars(const char *folder)
{
    for (int file = 0; file < 2; file++) {
        char path[400], name[64], text[200];
        (void)snprintf(name, sizeof name, "%d.tar", file);
        th_test_path(path, sizeof path, folder, name);
        struct archive *tar = th_make_tar(path, 0);
        for (int i = file * SAMPLES / 2; i < (file + 1) * SAMPLES / 2; i++) {
            th_image image = picture_of(i);
            (void)snprintf(name, sizeof name, "p/%04d.png", i);
            put_png(tar, name, &image);
            captions_of(i, text, sizeof text);
            (void)snprintf(name, sizeof name, "p/%04d.txt", i);
            th_tar_add_text(tar, name, text);
            th_image_free(&image);
        }
        th_tar_close(tar);
    }
}

typedef struct {
    char            from[400], to[400];
    th_pack_options options;
} setting;

// The table's defaults, as the command line would have them, with small pictures.
static void set_up(setting *s, const char *folder, const char *to)
{
    th_option_set                     set = { th_pack_table, th_pack_table_count, &s->options };
    th_err                            err = { 0 };
    static _Alignas(64) unsigned char memory[4096];
    th_arena                          pool = { .base = memory, .reserved_bytes = sizeof memory };

    th_assert_ok(th_options_default(&set, 1, &pool, &err), &err);
    assert_true(snprintf(s->from, sizeof s->from, "wds:%s/*.tar", folder) < (int)sizeof s->from);
    th_test_path(s->to, sizeof s->to, folder, to);
    s->options.from = s->from;
    s->options.to = s->to;
    s->options.codec = "raw";
    s->options.normalization = "clip";
    s->options.size = 32;
    s->options.bpe = 600;
    s->options.threads = 2;
}

static th_pack_report build(const setting *s)
{
    th_pack_report report = { 0 };
    th_err         err = { 0 };

    th_assert_ok(th_pack_build(&s->options, NULL, NULL, &report, &err), &err);
    return report;
}

static th_pack *open_pack(const char *path)
{
    th_pack *pack = NULL;
    th_err   err = { 0 };

    th_assert_ok(th_pack_open(path, &pack, &err), &err);
    return pack;
}

// The picture that Resize and CenterCrop of open_clip would make of sample i: the whole of it
// resized, then cut.
static th_image reference_square(int i, int side)
{
    th_image in = picture_of(i), whole = { 0 }, out = { 0 };
    th_err   err = { 0 };
    int      w = in.width <= in.height ? side : side * in.width / in.height;
    int      h = in.height <= in.width ? side : side * in.height / in.width;
    int      left = (int)rint((w - side) / 2.0), top = (int)rint((h - side) / 2.0);

    th_assert_ok(
        th_image_resize(&in, TH_FILTER_BICUBIC, 0, 0, in.width, in.height, w, h, &whole, &err),
        &err);
    th_assert_ok(th_image_crop(&whole, left, top, side, side, &out, &err), &err);
    th_image_free(&in);
    th_image_free(&whole);
    return out;
}

static void check_caption(const th_pack *pack, const th_caption *caption, const char *want)
{
    int32_t ids[TH_RECORD_TOKENS];
    int64_t count = th_tokenizer_encode(th_pack_tokenizer(pack), want, strlen(want), NULL, ids,
                                        TH_RECORD_TOKENS);

    assert_int_equal(caption->text_bytes, strlen(want));
    assert_memory_equal(caption->text, want, strlen(want));
    assert_int_equal(caption->token_count, count);
    assert_true(count > 0);
    assert_memory_equal(caption->tokens, ids, (size_t)count * sizeof *ids);
}

// Checks record r of the pack as sample i, which its first caption names; returns i.
static int check_record(th_pack *pack, int64_t r, int side)
{
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         record;
    th_err            err = { 0 };
    th_image          picture = { 0 };
    char              text[100];

    th_assert_ok(th_pack_read(pack, r, &copy, &scratch, &record, &err), &err);
    (void)snprintf(text, sizeof text, "%.*s", (int)record.captions[0].text_bytes,
                   record.captions[0].text);
    int i = atoi(text + strlen("a picture of number "));
    assert_int_equal(record.caption_count, i % 3 ? 3 : 2);
    (void)snprintf(text, sizeof text, "a picture of number %d", i);
    check_caption(pack, &record.captions[0], text);
    (void)snprintf(text, sizeof text, "\xe9\x9b\xaa n\xc3\xbamero %d", i);
    check_caption(pack, &record.captions[1], text);

    assert_int_equal(record.width, side);
    assert_int_equal(record.height, side);
    struct th_stored_picture stored = { (int)record.codec, record.width, record.height,
                                        record.image, record.image_bytes };
    th_assert_ok(th_image_restore(&stored, &picture, &err), &err);
    if (record.codec != TH_CODEC_JPEG) {
        th_image want = reference_square(i, side);
        assert_memory_equal(picture.pixels, want.pixels, (size_t)side * (size_t)side * 3);
        th_image_free(&want);
    }
    th_image_free(&picture);
    free(copy.bytes);
    free(scratch.bytes);
    return i;
}

static void packs_hold_every_sample_once_in_order(void **state)
{
    setting s;
    char    val_path[500];
    bool    seen[SAMPLES] = { 0 };

    make_tars(*state);
    set_up(&s, *state, "photos");
    s.options.margin = 6;
    s.options.val = 0.25;
    s.options.shards = 3;
    th_pack_report report = build(&s);
    assert_int_equal(report.total.read, SAMPLES);
    assert_int_equal(report.total.packed + report.total.packed_val, SAMPLES);
    assert_int_equal(report.total.quarantined, 0);
    assert_int_equal(report.captions, SAMPLES / 3 * 2 + SAMPLES / 3 * 2 * 3);
    assert_true(report.mean_tokens > 1 && report.mean_tokens < 30);
    // 60 draws of 0.25: 15 expected, deviation 3.4; these are fixed by the keys.
    assert_true(report.total.packed_val > 5 && report.total.packed_val < 26);

    (void)snprintf(val_path, sizeof val_path, "%s-val", s.to);
    th_pack            *packs[2] = { open_pack(s.to), open_pack(val_path) };
    const th_pack_info *info = th_pack_describe(packs[0]);
    assert_int_equal(info->shard_count, 3);
    assert_string_equal(info->shards[2].file, "photos-00002.lmdb");
    assert_string_equal(th_pack_describe(packs[1])->shards[0].file, "photos-val-00000.lmdb");
    assert_int_equal(info->size, 32);
    assert_int_equal(info->margin, 6);
    th_assert_close(info->mean[0], 0.48145466, 1e-7);
    assert_true(info->tokenizer_hash == th_pack_describe(packs[1])->tokenizer_hash);
    assert_int_equal(info->records, report.total.packed);
    for (int k = 0; k < 2; k++) {
        int last = -1;
        for (int64_t r = 0; r < th_pack_describe(packs[k])->records; r++) {
            int i = check_record(packs[k], r, 38);
            assert_false(seen[i]);
            seen[i] = true;
            assert_true(i > last);
            last = i;
        }
        th_pack_close(packs[k]);
    }
}

static void threads_do_not_change_a_byte(void **state)
{
    setting   s;
    uint64_t  hash[2];
    const int threads[2] = { 1, 5 };

    make_tars(*state);
    for (int k = 0; k < 2; k++) {
        char to[32];
        (void)snprintf(to, sizeof to, "x%d/pack", k);
        set_up(&s, *state, to);
        s.options.threads = threads[k];
        s.options.codec = "zlib";
        (void)build(&s);
        th_pack *pack = open_pack(s.to);
        hash[k] = th_pack_hash(pack); // holds the hash of each shard and of the tokenizer
        th_pack_close(pack);
    }
    assert_true(hash[0] == hash[1]);
}

static void every_codec_is_read_back(void **state)
{
    static const char *const codecs[] = { "zlib", "jpeg" };
    setting                  s;

    make_tars(*state);
    for (int k = 0; k < 2; k++) {
        set_up(&s, *state, codecs[k]);
        s.options.codec = codecs[k];
        (void)build(&s);
        th_pack *pack = open_pack(s.to);
        for (int64_t r = 0; r < SAMPLES; r++)
            assert_int_equal(check_record(pack, r, 32), r);
        th_pack_close(pack);
    }
}

static void a_given_tokenizer_is_used(void **state)
{
    setting first, second;
    char    merges[500];

    make_tars(*state);
    set_up(&first, *state, "first");
    (void)build(&first);
    th_pack *a = open_pack(first.to);
    (void)snprintf(merges, sizeof merges, "%s/tokenizer.bpe", first.to);
    for (int k = 0; k < 2; k++) {
        set_up(&second, *state, k ? "third" : "second");
        second.options.bpe = 514; // not used
        second.options.tokenizer = k ? merges : first.to;
        th_pack_report report = build(&second);
        th_pack       *b = open_pack(second.to);
        assert_true(th_pack_describe(a)->tokenizer_hash == th_pack_describe(b)->tokenizer_hash);
        assert_int_equal(report.vocabulary, th_pack_describe(a)->vocabulary);
        th_pack_close(b);
    }
    th_pack_close(a);
}

// A pack keeps a tokenizer of any kind, and how it cleans, and gives it to the next pack.
static void every_kind_of_tokenizer_is_kept(void **state)
{
    static const char list[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n";
    setting           s;
    char              path[500];
    th_err            err = { 0 };

    make_tars(*state);
    (void)snprintf(path, sizeof path, "%s/vocab.txt", (char *)*state);
    th_assert_ok(th_file_replace(path, list, strlen(list), &err), &err);
    for (int k = 0; k < 4; k++) { // BERT's list, that pack's, trained with a cleanup, that pack's
        static const char *const names[] = { "bert", "bert2", "hf", "hf2" };
        set_up(&s, *state, names[k]);
        s.options.tokenizer = k == 2 ? NULL : path;
        s.options.cleanup = k == 2 ? "hf" : NULL;
        (void)build(&s);
        th_pack            *pack = open_pack(s.to);
        const th_pack_info *info = th_pack_describe(pack);
        assert_string_equal(info->tokenizer_file, k < 2 ? "tokenizer.json" : "tokenizer.bpe");
        assert_string_equal(info->cleanup, k < 2 ? "bert" : "hf");
        assert_int_equal(th_tokenizer_cleanup(th_pack_tokenizer(pack)),
                         k < 2 ? TH_CLEANUP_BERT : TH_CLEANUP_HF);
        assert_true(th_tokenizer_hash(th_pack_tokenizer(pack)) == info->tokenizer_hash);
        th_pack_close(pack);
        (void)snprintf(path, sizeof path, "%s", s.to);
    }
    set_up(&s, *state, "both");
    s.options.tokenizer = path;
    s.options.cleanup = "open_clip"; // another than the pack's: asked for, so it counts
    (void)build(&s);
    th_pack *pack = open_pack(s.to);
    assert_string_equal(th_pack_describe(pack)->cleanup, "open_clip");
    th_pack_close(pack);
}

// A record keeps the first TH_RECORD_TOKENS ids of a caption, and all of its text.
static void a_long_caption_keeps_its_first_tokens(void **state)
{
    setting           s;
    char              path[500], text[6000];
    th_image          image = picture_of(0);
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         record;
    th_err            err = { 0 };
    int32_t           ids[2 * TH_RECORD_TOKENS];

    for (int i = 0; i < 2000; i++)
        memcpy(text + 3 * i, (char[]){ (char)('0' + i % 10), (char)('a' + i % 23), ' ' }, 3);
    th_test_path(path, sizeof path, *state, "a.tar");
    struct archive *tar = th_make_tar(path, 0);
    put_png(tar, "a.png", &image);
    th_tar_add(tar, "a.txt", text, 5999);
    th_tar_close(tar);
    set_up(&s, *state, "photos");
    (void)build(&s);
    th_pack *pack = open_pack(s.to);
    th_assert_ok(th_pack_read(pack, 0, &copy, &scratch, &record, &err), &err);
    assert_int_equal(record.captions[0].text_bytes, 5999);
    assert_int_equal(record.captions[0].token_count, TH_RECORD_TOKENS);
    assert_true(th_tokenizer_encode(th_pack_tokenizer(pack), text, 5999, NULL, ids,
                                    2 * TH_RECORD_TOKENS) > TH_RECORD_TOKENS);
    assert_memory_equal(record.captions[0].tokens, ids, TH_RECORD_TOKENS * sizeof *ids);
    th_pack_close(pack);
    th_image_free(&image);
    free(copy.bytes);
    free(scratch.bytes);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[500];

    th_test_path(path, sizeof path, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void refused(const setting *s, const char *words)
{
    th_pack_report report;
    th_err         err = { 0 };

    th_assert_error(th_pack_build(&s->options, NULL, NULL, &report, &err), TH_EUSAGE, &err, words);
}

static void only_leftovers_are_removed(void **state)
{
    setting s;
    char    val_path[500], path[500];

    make_tars(*state);
    set_up(&s, *state, "photos");
    s.options.val = 0.3;
    (void)snprintf(val_path, sizeof val_path, "%s-val", s.to);
    (void)build(&s);
    refused(&s, "is a pack already");

    // As a packer leaves it that was killed between its two commits: the same command begins anew.
    th_test_path(path, sizeof path, s.to, "dataset.json");
    assert_int_equal(unlink(path), 0);
    write_text(s.to, "photos-00009.lmdb.fill", "x");
    write_text(val_path, "photos-val-00007.lmdb", "x");
    (void)build(&s);
    th_test_path(path, sizeof path, val_path, "photos-val-00007.lmdb");
    assert_int_not_equal(access(path, F_OK), 0);
    th_pack_close(open_pack(val_path));

    // A folder with anything else in it is left alone, and so is a validation pack of another run.
    set_up(&s, *state, "mixed");
    assert_int_equal(mkdir(s.to, 0755), 0);
    write_text(s.to, "mixed-00000.lmdb", "x");
    write_text(s.to, "notes.txt", "x");
    refused(&s, "notes.txt");
    th_test_path(path, sizeof path, s.to, "mixed-00000.lmdb");
    assert_int_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/moved", (const char *)*state);
    assert_int_equal(rename(val_path, path), 0);
    (void)snprintf(val_path, sizeof val_path, "%s/fresh-val", (const char *)*state);
    assert_int_equal(rename(path, val_path), 0);
    set_up(&s, *state, "fresh");
    s.options.val = 0.3;
    refused(&s, "fresh-val\" is a pack already");
}

static void two_packers_do_not_share_a_folder(void **state)
{
    setting s;

    make_tars(*state);
    set_up(&s, *state, "photos");
    assert_int_equal(mkdir(s.to, 0755), 0);
    int fd = open(s.to, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    refused(&s, "another process packs");
    assert_int_equal(close(fd), 0);
    (void)build(&s);
}

static void wrong_options_are_refused(void **state)
{
    setting        s;
    th_err         err = { 0 };
    th_pack_report report;

    make_tars(*state);
    th_assert_ok(th_options_check(th_pack_table, th_pack_table_count, &err), &err);
    set_up(&s, *state, ".hidden");
    refused(&s, "cannot name shards");
    set_up(&s, *state, "photos");
    s.options.size = 8000;
    s.options.margin = 200;
    refused(&s, "8000");
    set_up(&s, *state, "photos");
    s.options.codec = "gif";
    refused(&s, "gif");
    set_up(&s, *state, "photos");
    s.options.from = "zip:x";
    refused(&s, "no known kind");
    set_up(&s, *state, "photos");
    s.options.val = 1e-9;
    refused(&s, "none fell to the validation");
    set_up(&s, *state, "photos");
    s.options.tokenizer = "/nowhere";
    th_assert_error(th_pack_build(&s.options, NULL, NULL, &report, &err), TH_EIO, &err, "nowhere");
}

static void nothing_to_pack_is_an_error(void **state)
{
    setting        s;
    th_pack_report report;
    th_err         err = { 0 };
    char           path[500];

    th_test_path(path, sizeof path, *state, "a.tar");
    struct archive *tar = th_make_tar(path, 0);
    th_tar_add_text(tar, "a.jpg", "<html>");
    th_tar_add_text(tar, "a.txt", "a caption");
    th_tar_close(tar);
    set_up(&s, *state, "photos");
    th_assert_error(th_pack_build(&s.options, NULL, NULL, &report, &err), TH_EDATA, &err,
                    "not a picture");
    th_test_path(path, sizeof path, s.to, "quarantine.jsonl");
    assert_int_equal(access(path, F_OK), 0);
    th_test_path(path, sizeof path, s.to, "dataset.json");
    assert_int_not_equal(access(path, F_OK), 0);
}

// --- the ordered queue ---

typedef struct {
    int        count, failing; // item that fails in work, or -1
    int        given;
    atomic_int taken, dropped;
} counting;

typedef struct {
    int   number;
    void *memory;
} counted;

static th_code count_take(void *context, void *slot, bool *out_more, th_err *err)
{
    counting *c = context;
    counted  *item = slot;
    void     *memory;
    th_code   rc;

    *out_more = c->taken < c->count;
    if (!*out_more)
        return TH_OK;
    item->number = c->taken++;
    if (item->memory)
        return TH_OK;
    rc = th_alloc(1, 16, "a test", &memory, err);
    item->memory = rc == TH_OK ? memory : NULL;
    return rc;
}

static th_code count_work(void *context, int thread, void *slot, th_err *err)
{
    counting *c = context;
    counted  *item = slot;
    th_code   rc = TH_OK;

    (void)thread;
    (void)usleep((unsigned)(item->number * 2654435761u >> 24)); // up to 255 us: out of order
    TH_CHECK(item->number != c->failing, TH_EDATA, "", "item %d", item->number);
out:
    return rc;
}

static th_code count_give(void *context, void *slot, th_err *err)
{
    counting *c = context;

    (void)err;
    assert_int_equal(((counted *)slot)->number, c->given);
    c->given++;
    assert_true(c->taken - c->given <= 2 * 4 + 2);
    return TH_OK;
}

static void count_tick(void *context)
{
    (void)context;
}

static void count_drop(void *context, void *slot)
{
    ((counting *)context)->dropped++;
    free(((counted *)slot)->memory);
}

static void items_come_out_in_order(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        counting       c = { .count = 500, .failing = -1 };
        th_ordered_job job = { &c,         threads,    sizeof(counted), count_take,
                               count_work, count_give, count_tick,      count_drop };
        th_err         err = { 0 };

        th_assert_ok(th_ordered_run(&job, &err), &err);
        assert_int_equal(c.given, 500);
        assert_int_equal(c.dropped, 2 * threads + 2);
        c = (counting){ .count = 500, .failing = 217 };
        th_assert_error(th_ordered_run(&job, &err), TH_EDATA, &err, "item 217");
        assert_int_equal(c.given, 217);
        c = (counting){ .count = 0, .failing = -1 };
        th_assert_ok(th_ordered_run(&job, &err), &err);
    }
}

// The numbers of CLIP's own preprocessing, of torchvision's models, and of SigLIP's.
static void a_pack_names_its_normalization(void **state)
{
    static const struct {
        const char *name;
        float       mean[3], deviation[3];
    } rows[] = {
        { "clip",
          { 0.48145466f, 0.4578275f, 0.40821073f },
          { 0.26862954f, 0.26130258f, 0.27577711f } },
        { "imagenet", { 0.485f, 0.456f, 0.406f }, { 0.229f, 0.224f, 0.225f } },
        { "siglip", { 0.5f, 0.5f, 0.5f }, { 0.5f, 0.5f, 0.5f } },
    };

    make_tars(*state);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setting s = { 0 };
        set_up(&s, *state, rows[i].name);
        s.options.normalization = rows[i].name;
        (void)build(&s);
        th_pack            *pack = open_pack(s.to);
        const th_pack_info *info = th_pack_describe(pack);
        assert_string_equal(info->normalization, rows[i].name);
        for (int c = 0; c < 3; c++) { // the same bits, through the JSON too
            assert_true(info->mean[c] == rows[i].mean[c]);
            assert_true(info->deviation[c] == rows[i].deviation[c]);
        }
        th_pack_close(pack);
    }
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order),
        IN_A_FOLDER(packs_hold_every_sample_once_in_order),
        IN_A_FOLDER(threads_do_not_change_a_byte),
        IN_A_FOLDER(every_codec_is_read_back),
        IN_A_FOLDER(a_pack_names_its_normalization),
        IN_A_FOLDER(a_given_tokenizer_is_used),
        IN_A_FOLDER(every_kind_of_tokenizer_is_kept),
        IN_A_FOLDER(a_long_caption_keeps_its_first_tokens),
        IN_A_FOLDER(only_leftovers_are_removed),
        IN_A_FOLDER(two_packers_do_not_share_a_folder),
        IN_A_FOLDER(wrong_options_are_refused),
        IN_A_FOLDER(nothing_to_pack_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
