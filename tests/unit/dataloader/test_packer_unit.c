// Units of a pack: how a source is cut, what a finished one remembers, and the counts.
#include "base/file.h"
#include "dataloader/packer_quarantine.h"
#include "dataloader/packer_unit.h"
#include "dataloader/packer_units.h"
#include "tests/test.h"
#include "tests/unit/dataloader/make_tar.h"

#include <unistd.h>

#define MOST_ITEMS 64

static const th_pack_options plain = {
    .size = 8, .codec = "raw", .caption_bytes = 100, .bpe = 514, .shards = 1
};

// --- cutting ---

static void nothing_to_show(void *context, int64_t samples)
{
    (void)context, (void)samples;
}

// Three tars of 7, 0 and 12 samples, and one of 5 that ends within its last picture, which skimming
// does not see.
static void make_tars(const char *folder)
{
    static const int counts[] = { 7, 0, 12, 5 };
    char             path[500], name[32], picture[600];

    memset(picture, 'p', sizeof picture);
    for (int k = 0; k < 4; k++) {
        (void)snprintf(name, sizeof name, "%d.tar", k);
        th_test_path(path, sizeof path, folder, name);
        struct archive *tar = th_make_tar(path, 0);
        for (int i = 0; i < counts[k]; i++) {
            (void)snprintf(name, sizeof name, "%d%02d.txt", k, i);
            th_tar_add_text(tar, name, "a caption");
            (void)snprintf(name, sizeof name, "%d%02d.jpg", k, i);
            th_tar_add(tar, name, picture, sizeof picture);
        }
        th_tar_close(tar);
    }
    assert_return_code(truncate(path, 5 * (512 + 512 + 512 + 1024) - 700), 0);
}

static void open_source(const char *folder, th_source **out)
{
    char   spec[500];
    th_err err = { 0 };

    (void)snprintf(spec, sizeof spec, "wds:%s/*.tar", folder);
    th_assert_ok(th_source_open(spec, out, &err), &err);
}

// As so many ranks take it together.
static void take_survey(const char *folder, int ranks, th_survey *out)
{
    th_survey_piece pieces[4] = { 0 };
    th_source      *source;
    th_err          err = { 0 };

    for (int rank = 0; rank < ranks; rank++) {
        open_source(folder, &source);
        assert_int_equal(th_source_pieces(source), 4);
        th_assert_ok(
            th_survey_take(source, &plain, rank, ranks, nothing_to_show, NULL, pieces, NULL, &err),
            &err);
        th_source_close(source);
    }
    th_assert_ok(th_survey_sum(pieces, 4, out, &err), &err);
}

// Appends what unit u of n gives: keys, and in front of refused ones an exclamation mark.
static int read_unit(th_unit_reader *reader, int u, int n, char keys[][40], int count)
{
    th_item item;
    bool    more = true;
    th_err  err = { 0 };

    th_assert_ok(th_unit_enter(reader, u, n, &err), &err);
    for (;;) {
        th_assert_ok(th_unit_next(reader, &item, &more, &err), &err);
        if (!more)
            return count;
        assert_true(count < MOST_ITEMS);
        assert_true(item.reason[0] || item.image_bytes == 600);
        memset(keys[count], 0, 40);
        (void)snprintf(keys[count++], 40, "%s%.30s", item.reason[0] ? "!" : "", item.key);
        th_item_free(&item);
    }
}

static void units_are_all_of_the_source_once(void **state)
{
    th_survey survey;
    char      whole[MOST_ITEMS][40], keys[MOST_ITEMS][40] = { 0 };

    make_tars(*state);
    take_survey(*state, 1, &survey);
    assert_int_equal(survey.pieces, 4);
    assert_int_equal(survey.first[1], 7);
    assert_int_equal(survey.first[2], 7);
    assert_int_equal(survey.first[3], 19);
    assert_int_equal(th_survey_samples(&survey), 25); // the last one says that the tar is cut
    assert_int_equal(survey.captioned, 24);
    for (int ranks = 2; ranks <= 5; ranks++) {
        th_survey other;
        take_survey(*state, ranks, &other);
        assert_memory_equal(other.first, survey.first, 5 * sizeof *survey.first);
        assert_int_equal(other.captioned, survey.captioned);
        assert_true(other.hash == survey.hash);
        th_survey_close(&other);
    }
    for (int n = 1; n <= 25; n++) {
        th_unit_reader all = { .survey = &survey }, some = { .survey = &survey };
        int            count = 0, other;
        open_source(*state, &all.source);
        for (int u = 0; u < n; u++)
            count = read_unit(&all, u, n, keys, count);
        th_source_close(all.source);
        if (n == 1)
            memcpy(whole, keys, sizeof whole);
        assert_int_equal(count, 25);
        assert_string_equal(keys[23], "!304");
        assert_string_equal(keys[24], "!");
        assert_memory_equal(keys, whole, 25 * sizeof *keys);
        // Every other unit, as one of two ranks reads them, and the others.
        count = other = 0;
        for (int rank = 0; rank < 2; rank++) {
            some = (th_unit_reader){ .survey = &survey };
            open_source(*state, &some.source);
            for (int u = rank; u < n; u += 2)
                other = read_unit(&some, u, n, keys, other);
            th_source_close(some.source);
        }
        assert_int_equal(other, 25);
    }
    th_survey_close(&survey);
}

static void units_are_as_many_as_asked_or_of_a_size(void **state)
{
    int64_t         first[] = { 0, 1000000 };
    th_survey       survey = { .pieces = 1, .first = first };
    th_pack_options options = { .size = 224, .codec = "raw", .shards = 7 };

    (void)state;
    assert_int_equal(th_unit_count(&survey, &options), 7);
    options.shards = 0;
    assert_int_equal(th_unit_count(&survey, &options), 141); // 151 kB each
    options.codec = "jpeg";
    assert_int_equal(th_unit_count(&survey, &options), 24);
    first[1] = 3;
    options.shards = 7;
    assert_int_equal(th_unit_count(&survey, &options), 3);
    first[1] = 0;
    assert_int_equal(th_unit_count(&survey, &options), 0);
}

static void the_hash_tells_sources_apart(void **state)
{
    uint64_t hashes[3];
    char     path[500];

    make_tars(*state);
    for (int i = 0; i < 3; i++) {
        th_survey survey;
        if (i == 2) { // one caption is another one
            th_test_path(path, sizeof path, *state, "0.tar");
            FILE *file = fopen(path, "r+");
            assert_non_null(file);
            assert_int_equal(fseek(file, 512, SEEK_SET), 0);
            assert_int_equal(fputc('A', file), 'A');
            assert_int_equal(fclose(file), 0);
        }
        take_survey(*state, 1, &survey);
        hashes[i] = survey.hash;
        th_survey_close(&survey);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] != hashes[2]);
}

// --- remembering ---

typedef struct {
    th_new_folder folders[TH_PARTS];
    char          unit[600]; // path of the record of unit 3
} place;

static void set_up(place *p, const char *folder)
{
    char   path[500];
    th_err err = { 0 };

    for (int part = 0; part < TH_PARTS; part++) {
        th_folder_state is;
        th_test_path(path, sizeof path, folder, part == TH_PART_TRAIN ? "x" : "x-val");
        th_assert_ok(th_new_folder_name(path, &p->folders[part], &err), &err);
        th_assert_ok(th_new_folder_take(&p->folders[part], &is, &err), &err);
        assert_int_equal(is, TH_FOLDER_EMPTY);
    }
    assert_true(th_new_folder_unit(&p->folders[TH_PART_TRAIN], 3, p->unit, sizeof p->unit));
}

static void tear_down(place *p)
{
    for (int part = 0; part < TH_PARTS; part++)
        th_new_folder_close(&p->folders[part]);
}

// A sample of `side` x 100 pixels with two captions of that many tokens.
static void add(th_unit_writer *writer, th_part part, int side, int tokens)
{
    unsigned char  pixels[12] = { (unsigned char)side };
    int32_t        ids[TH_RECORD_TOKENS] = { 0 };
    th_caption     captions[2] = { { "one", 3, ids, (uint32_t)tokens },
                                   { "two", 3, ids, (uint32_t)tokens } };
    th_record      record = { .width = 2,
                              .height = 2,
                              .image = pixels,
                              .image_bytes = 12,
                              .caption_count = 2,
                              .captions = captions };
    th_made_sample made = { .made = true,
                            .width = side,
                            .height = 100,
                            .caption_count = 2,
                            .lengths = { (uint16_t)tokens, (uint16_t)tokens } };
    th_err         err = { 0 };

    made.size = th_record_size(&record);
    made.record = malloc(made.size);
    assert_non_null(made.record);
    th_record_write(&record, made.record);
    th_assert_ok(th_unit_add(writer, part, &made, &err), &err);
    free(made.record);
}

static void write_unit(place *p)
{
    th_unit_writer writer;
    th_item        item = { .source = "a.tar", .key = "k\xff", .reason = "too wide: by 3" };
    th_err         err = { 0 };

    th_assert_ok(th_unit_begin(&writer, p->folders, 3, 50, &err), &err);
    add(&writer, TH_PART_TRAIN, 40, 5);
    add(&writer, TH_PART_TRAIN, 60, 80);
    add(&writer, TH_PART_VAL, 200, TH_RECORD_TOKENS);
    th_assert_ok(th_unit_refuse(&writer, &item, &err), &err);
    th_assert_ok(th_unit_commit(&writer, &err), &err);
}

static void a_finished_unit_is_remembered(void **state)
{
    place          p;
    th_unit        unit;
    bool           there;
    th_err         err = { 0 };
    th_pack_report report = { 0 };

    set_up(&p, *state);
    th_assert_ok(th_unit_read(p.folders, 3, &unit, &there, &err), &err);
    assert_false(there);
    write_unit(&p);
    th_assert_ok(th_unit_read(p.folders, 3, &unit, &there, &err), &err);
    assert_true(there);
    assert_string_equal(unit.shards[TH_PART_TRAIN].file, "x-00003.lmdb");
    assert_int_equal(unit.shards[TH_PART_TRAIN].records, 2);
    assert_string_equal(unit.shards[TH_PART_VAL].file, "x-val-00003.lmdb");
    assert_int_equal(unit.shards[TH_PART_VAL].records, 1);
    assert_string_equal(
        unit.refused,
        "{\"source\":\"a.tar\",\"key\":\"k\\\\xff\",\"reason\":\"too wide: by 3\"}\n");
    th_tally_report(&unit.tally, 77, &report);
    assert_int_equal(report.total.read, 4);
    assert_int_equal(report.total.packed, 2);
    assert_int_equal(report.total.packed_val, 1);
    assert_int_equal(report.total.quarantined, 1);
    assert_int_equal(report.captions, 6);
    assert_int_equal(report.side_least, 40);
    assert_int_equal(report.side_median, 60);
    assert_int_equal(report.side_most, 100);
    assert_int_equal(report.enlarged, 1);
    assert_int_equal(report.tokens_median, 80);
    assert_int_equal(report.tokens_most, TH_RECORD_TOKENS);
    assert_int_equal(report.over_context, 4); // 75 fit beside start and end
    assert_int_equal(report.reason_count, 1);
    assert_string_equal(report.reasons[0].reason, "too wide");

    // A shard of another size is packed again, and so is one that is gone.
    char shard[600];
    assert_true(th_new_folder_shard(&p.folders[TH_PART_VAL], 3, shard, sizeof shard));
    th_unit_close(&unit);
    assert_return_code(truncate(shard, 4096), 0);
    th_assert_ok(th_unit_read(p.folders, 3, &unit, &there, &err), &err);
    assert_false(there);
    assert_return_code(unlink(shard), 0);
    th_assert_ok(th_unit_read(p.folders, 3, &unit, &there, &err), &err);
    assert_false(there);
    th_assert_ok(th_unit_forget(p.folders, 3, &err), &err);
    th_assert_ok(th_unit_forget(p.folders, 3, &err), &err);
    assert_false(th_path_exists(p.unit));
    tear_down(&p);
}

static void a_damaged_record_is_named(void **state)
{
    static const char *const texts[] = { "", "{}\n", "{\"shards\": 3}\n", "no JSON\n" };
    place                    p;
    th_unit                  unit;
    bool                     there;
    char                    *text;
    size_t                   size;
    th_err                   err = { 0 };

    set_up(&p, *state);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        th_assert_ok(th_file_replace(p.unit, texts[i], strlen(texts[i]), &err), &err);
        th_assert_error(th_unit_read(p.folders, 3, &unit, &there, &err), TH_EDATA, &err,
                        "x-00003.unit\" is damaged");
    }
    // Every prefix of the record's line.
    write_unit(&p);
    th_assert_ok(th_file_read(p.unit, 1 << 20, &text, &size, &err), &err);
    for (size_t cut = 0; cut < (size_t)(strchr(text, '\n') - text); cut++) {
        th_assert_ok(th_file_replace_unflushed(p.unit, text, cut, &err), &err);
        th_assert_error(th_unit_read(p.folders, 3, &unit, &there, &err), TH_EDATA, &err, "damaged");
    }
    free(text);
    tear_down(&p);
}

// What counts of two units are, added up, is what one unit would have counted.
static void counts_add_up(void **state)
{
    static th_tally whole, parts[3], sum, read;

    (void)state;
    for (int i = 0; i < 300; i++) {
        th_made_sample made = { .width = 10 + i * 37 % 90, .height = 70, .caption_count = 1 };
        char           reason[64];
        made.lengths[0] = (uint16_t)(i * 7 % 40);
        (void)snprintf(reason, sizeof reason, "kind %d: of number %d", i / 5 % 9, i);
        th_tally *part = &parts[i % 3];
        if (i % 5 == 0) {
            th_tally_refuse(&whole, reason);
            th_tally_refuse(part, reason);
        } else {
            th_tally_add(&whole, (th_part)(i % 2), &made, 50);
            th_tally_add(part, (th_part)(i % 2), &made, 50);
        }
    }
    for (int k = 0; k < 3; k++) {
        json_t *text = th_tally_print(&parts[k]);
        assert_non_null(text);
        assert_true(th_tally_parse(text, &read));
        th_tally_merge(&sum, &read);
        json_decref(text);
    }
    th_pack_report one = { 0 }, three = { 0 };
    th_tally_report(&whole, 20, &one);
    th_tally_report(&sum, 20, &three);
    assert_memory_equal(&one, &three, sizeof one);
    assert_true(one.over_context > 0 && one.enlarged > 0 && one.reason_count > 3);
}

static void rare_reasons_are_other(void **state)
{
    static th_tally tally;
    th_pack_report  report = { 0 };

    (void)state;
    for (int i = 0; i < 100; i++) {
        char reason[64];
        (void)snprintf(reason, sizeof reason, "kind %d: x", i);
        th_tally_refuse(&tally, reason);
    }
    th_tally_report(&tally, 77, &report);
    assert_int_equal(report.reason_count, TH_PACK_REASONS);
    assert_string_equal(report.reasons[0].reason, "other");
    assert_int_equal(report.reasons[0].count, 100 - (TH_PACK_REASONS - 1));
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(units_are_all_of_the_source_once),
        cmocka_unit_test(units_are_as_many_as_asked_or_of_a_size),
        IN_A_FOLDER(the_hash_tells_sources_apart),
        IN_A_FOLDER(a_finished_unit_is_remembered),
        IN_A_FOLDER(a_damaged_record_is_named),
        cmocka_unit_test(counts_add_up),
        cmocka_unit_test(rare_reasons_are_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
