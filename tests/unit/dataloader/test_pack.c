#include "pack_fixture.h"

#include <stdbool.h>
#include <unistd.h>

static const pack_plan plan = { .records = 25, .shards = 3, .size = 8, .wider = 2, .captions = 3 };

static void reads_back(void **state)
{
    const char       *folder = *state;
    th_pack          *pack = NULL;
    th_err            err = { 0 };
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         got;

    pack_write(folder, &plan);
    th_assert_ok(th_pack_open(folder, &pack, &err), &err);
    const th_pack_info *info = th_pack_describe(pack);
    assert_int_equal(info->records, 25);
    assert_int_equal(info->captions, 75);
    assert_int_equal(info->shard_count, 3);
    assert_int_equal(info->size, 8);
    assert_int_equal(info->margin, 0);
    assert_string_equal(info->filter, "bicubic");
    assert_string_equal(info->codec, "raw");
    assert_string_equal(info->normalization, "clip");
    assert_true(info->mean[0] == 0.48145466f && info->mean[2] == 0.40821073f); // the same bits
    assert_true(info->deviation[1] == 0.26130258f);
    assert_int_equal(info->vocabulary, FIXTURE_VOCABULARY);
    assert_int_equal(th_tokenizer_vocabulary(th_pack_tokenizer(pack)), FIXTURE_VOCABULARY);
    assert_string_equal(th_pack_folder(pack), folder);
    for (int64_t i = 24; i >= 0; i--) {
        th_assert_ok(th_pack_read(pack, i, &copy, &scratch, &got, &err), &err);
        assert_int_equal(got.sample_id, i * 1000003);
        assert_int_equal(got.caption_count, 3);
    }
    th_assert_error(th_pack_read(pack, 25, &copy, &scratch, &got, &err), TH_EDATA, &err,
                    "no record 25");
    th_assert_error(th_pack_read(pack, -1, &copy, &scratch, &got, &err), TH_EDATA, &err, NULL);
    th_assert_ok(th_pack_verify(pack, NULL, NULL, &err), &err);
    th_pack_close(pack);
    free(copy.bytes);
    free(scratch.bytes);
}

// The hash tells packs apart, and the same pack made twice has the same one.
static void hash_is_of_the_content(void **state)
{
    th_pack  *pack = NULL;
    th_err    err = { 0 };
    uint64_t  hash[3];
    pack_plan other = plan;

    other.records++;
    for (int i = 0; i < 3; i++) {
        pack_write(*state, i < 2 ? &plan : &other);
        th_assert_ok(th_pack_open(*state, &pack, &err), &err);
        hash[i] = th_pack_hash(pack);
        th_pack_close(pack);
    }
    assert_int_equal(hash[0], hash[1]);
    assert_int_not_equal(hash[0], hash[2]);
}

// --- dataset.json, changed by one replacement ---

static const struct edit {
    const char *name, *from, *to, *words;
} edits[] = {
    { "refuses_what_is_not_json", "{", "[", "not JSON" },
    { "refuses_duplicate_keys", "\"version\": 1,", "\"version\": 1, \"version\": 1,", "not JSON" },
    { "refuses_other_format", "\"thaw pack\"", "\"tar\"", "thaw pack" },
    { "refuses_missing_format", "\"format\"", "\"fromat\"", "thaw pack" },
    { "refuses_old_version", "\"version\": 1", "\"version\": 0", "old format version 0" },
    { "refuses_new_version", "\"version\": 1", "\"version\": 2", "format version 2" },
    { "refuses_version_as_text", "\"version\": 1", "\"version\": \"1\"", "version" },
    { "refuses_no_records", "\"records\": 25", "\"records\": 0", "records" },
    { "refuses_records_beyond_64_bits", "\"records\": 25", "\"records\": 99999999999999999999",
      "not JSON" },
    { "refuses_a_sum_that_does_not_hold", "\"records\": 25", "\"records\": 26", "shards have 25" },
    { "refuses_negative_captions", "\"captions\": 75", "\"captions\": -1", "captions" },
    { "refuses_missing_image", "\"image\"", "\"picture\"", "size" },
    { "refuses_size_zero", "\"size\": 8", "\"size\": 0", "size" },
    { "refuses_size_with_margin_over_limit", "\"margin\": 0", "\"margin\": 8190", "margin" },
    { "refuses_unknown_filter", "\"bicubic\"", "\"lanczos\"", "filter" },
    { "refuses_half_a_word", "\"bicubic\"", "\"bi\"", "filter" },
    { "refuses_unknown_alpha", "\"white\"", "\"black\"", "white drop" },
    { "refuses_unknown_exif", "\"ignore\"", "\"maybe\"", "ignore apply" },
    { "refuses_unknown_codec", "\"raw\"", "\"gif\"", "raw zlib jpeg" },
    { "refuses_long_codec", "\"raw\"", "\"rawrawrawrawraw\"", "codec" },
    { "refuses_unknown_normalization", "\"clip\"", "\"none\"", "normalization" },
    { "refuses_two_means", "\"mean\": [\n      0.48145467,", "\"mean\": [", "mean" },
    { "refuses_mean_over_1", "0.48145467", "2.5", "mean" },
    { "refuses_deviation_zero", "0.268629551", "0", "deviation" },
    { "refuses_text_as_mean", "0.48145467", "\"a\"", "mean" },
    { "refuses_other_tokenizer_file", "tokenizer.bpe", "../other.bpe", "file" },
    { "refuses_other_vocabulary", "\"vocabulary\": 516", "\"vocabulary\": 517", "tokenizer" },
    { "refuses_missing_shards", "\"shards\"", "\"shreds\"", "shards" },
    { "refuses_path_out_of_folder", "pack-00001.lmdb", "../00001.lmdb", "out of the folder" },
    { "refuses_absolute_path", "pack-00001.lmdb", "/etc/passwd", "out of the folder" },
    { "refuses_hidden_file", "pack-00001.lmdb", ".pack", "out of the folder" },
    { "refuses_empty_file_name", "pack-00001.lmdb", "", "file" },
    { "refuses_long_file_name", "pack-00001.lmdb",
      "pack-0000000000000000000000000000000000000000000000000000000000000000000.lmdb", "file" },
    { "refuses_a_shard_twice", "pack-00001.lmdb", "pack-00000.lmdb", "twice" },
    { "refuses_missing_shard", "pack-00001.lmdb", "pack-00009.lmdb", "missing" },
    { "refuses_shard_hash_of_15_digits", "\"hash\": \"", "\"hash\": \"0", "hash" },
};

// Version 0.1 did not name what it did with alpha and with orientations.
static void a_pack_of_version_0_1_opens(void **state)
{
    static const char added[] = "\"alpha\": \"white\",\n    \"exif\": \"ignore\",\n    ";
    char              path[4096], *text = NULL;
    size_t            size = 0;
    th_err            err = { 0 };
    th_pack          *pack = NULL;

    pack_write(*state, &plan);
    th_test_path(path, sizeof path, *state, TH_PACK_DATASET);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    char *at = strstr(text, added);
    assert_non_null(at);
    memmove(at, at + strlen(added), strlen(at + strlen(added)) + 1);
    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
    th_assert_ok(th_pack_open(*state, &pack, &err), &err);
    assert_string_equal(th_pack_describe(pack)->alpha, "white");
    assert_string_equal(th_pack_describe(pack)->exif, "ignore");
    th_pack_close(pack);
    free(text);
}

typedef struct {
    const struct edit *edit;
    void              *folder;
} edit_state;

static int edit_open(void **state)
{
    edit_state *both = malloc(sizeof *both);

    if (!both)
        return -1;
    both->edit = *state;
    *state = both;
    return th_test_folder_open(&both->folder);
}

static int edit_close(void **state)
{
    edit_state *both = *state;
    int         result = th_test_folder_close(&both->folder);

    free(both);
    return result;
}

static void refuses_edited_dataset(void **state)
{
    edit_state        *both = *state;
    const struct edit *edit = both->edit;
    char               path[4096], *text = NULL;
    size_t             size = 0;
    th_err             err = { 0 };
    th_pack           *pack = NULL;

    pack_write(both->folder, &plan);
    th_test_path(path, sizeof path, both->folder, TH_PACK_DATASET);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    char *found = strstr(text, edit->from);
    assert_non_null(found);
    char *changed = malloc(size + strlen(edit->to) + 1);
    assert_non_null(changed);
    int length = sprintf(changed, "%.*s%s%s", (int)(found - text), text, edit->to,
                         found + strlen(edit->from));
    th_assert_ok(th_file_replace(path, changed, (size_t)length, &err), &err);
    th_assert_error(th_pack_open(both->folder, &pack, &err), TH_EDATA, &err, edit->words);
    free(changed);
    free(text);
}

static void every_truncation_of_the_dataset_is_refused(void **state)
{
    char     path[4096], *text = NULL;
    size_t   size = 0;
    th_err   err = { 0 };
    th_pack *pack = NULL;

    pack_write(*state, &plan);
    th_test_path(path, sizeof path, *state, TH_PACK_DATASET);
    th_assert_ok(th_file_read(path, 1 << 20, &text, &size, &err), &err);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(truncate(path, (off_t)(size - 1 - cut)), 0);
        th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, NULL);
    }
    free(text);
}

static void missing_parts_are_named(void **state)
{
    char     path[4096];
    th_err   err = { 0 };
    th_pack *pack = NULL;

    th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, "not a pack");
    pack_write(*state, &plan);
    th_test_path(path, sizeof path, *state, TH_TOKENIZER_MERGES);
    th_assert_ok(th_file_replace(path, "#version: 0.2\nd o\ndo g\n", 23, &err), &err);
    th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, "tokenizer");
    assert_int_equal(unlink(path), 0);
    th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, "has no tokenizer.bpe");
    pack_write(*state, &plan);
    th_test_path(path, sizeof path, *state, "pack-00002.lmdb");
    assert_int_equal(truncate(path, 8192), 0);
    th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, "has 8192 bytes");
    assert_int_equal(unlink(path), 0);
    th_assert_error(th_pack_open(*state, &pack, &err), TH_EDATA, &err, "missing");
}

static void commit_refuses_what_open_would(void **state)
{
    th_shard_info shard = { .file = "a/b.lmdb", .records = 1, .bytes = 1 };
    th_pack_info  info = { .size = 8,
                           .filter = "bicubic",
                           .alpha = "white",
                           .exif = "ignore",
                           .codec = "raw",
                           .deviation = { 1, 1, 1 },
                           .normalization = "clip",
                           .vocabulary = 514,
                           .records = 1,
                           .shard_count = 1,
                           .shards = &shard };
    th_err        err = { 0 };
    char          path[4096];

    th_assert_error(th_pack_commit(*state, &info, &err), TH_EUSAGE, &err, "a/b.lmdb");
    th_test_path(path, sizeof path, *state, TH_PACK_DATASET);
    assert_false(th_path_exists(path));
    memcpy(shard.file, "b.lmdb", 7);
    th_assert_ok(th_pack_commit(*state, &info, &err), &err);
    assert_true(th_path_exists(path));
}

typedef struct {
    int64_t records[8];
    int     count;
} bad_list;

static void note_bad(void *context, int64_t record, const th_err *why)
{
    bad_list *list = context;

    assert_int_equal(why->code, TH_EDATA);
    assert_true(why->what[0] && list->count < 8);
    list->records[list->count++] = record;
}

static void verify_finds_damage(void **state)
{
    th_pack  *pack = NULL;
    th_err    err = { 0 };
    bad_list  list = { .count = 0 };
    pack_plan big = { .records = 25, .shards = 3, .size = 32, .captions = 1 };

    // Pictures on pages of their own: two records, in the second and in the last shard.
    pack_write(*state, &big);
    pack_damage(*state, &big, 9);
    pack_damage(*state, &big, 24);
    th_assert_ok(th_pack_open(*state, &pack, &err), &err);
    th_assert_error(th_pack_verify(pack, note_bad, &list, &err), TH_EDATA, &err, "in 4 records");
    assert_int_equal(list.count, 4);
    assert_int_equal(list.records[0], -1); // the second shard as a file
    assert_int_equal(list.records[1], 9);
    assert_int_equal(list.records[2], -1);
    assert_int_equal(list.records[3], 24);
    th_pack_close(pack);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

// With a folder as argument the program writes its pack there: tests/fault/shard_python.sh reads
// it.
int main(int argc, char **argv)
{
    enum { EDITS = sizeof edits / sizeof *edits };
    const struct CMUnitTest tests[] = {
        IN_FOLDER(reads_back),
        IN_FOLDER(a_pack_of_version_0_1_opens),
        IN_FOLDER(hash_is_of_the_content),
        IN_FOLDER(every_truncation_of_the_dataset_is_refused),
        IN_FOLDER(missing_parts_are_named),
        IN_FOLDER(commit_refuses_what_open_would),
        IN_FOLDER(verify_finds_damage),
    };
    struct CMUnitTest edit_tests[EDITS];

    if (argc > 1) {
        pack_write(argv[1], &plan);
        return 0;
    }
    for (int i = 0; i < EDITS; i++)
        edit_tests[i] = (struct CMUnitTest){ .name = edits[i].name,
                                             .test_func = refuses_edited_dataset,
                                             .setup_func = edit_open,
                                             .teardown_func = edit_close,
                                             .initial_state = (void *)&edits[i] };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("edits", edit_tests, NULL, NULL);
}
