// WebDataset tars and csv files as streams of samples, whole and damaged.
#include "dataloader/source/kind.h"
#include "dataloader/source/source.h"
#include "tests/test.h"
#include "tests/unit/dataloader/make_tar.h"
#include "tests/unit/dataloader/source_fixture.h"

#include <unistd.h>

static void tars_are_grouped_by_key(void **state)
{
    const char *folder = *state;
    char        path[400];

    for (int gzip = 0; gzip < 2; gzip++) {
        th_test_path(path, sizeof path, folder, gzip ? "b.tar.gz" : "a.tar");
        struct archive *tar = th_make_tar(path, gzip);
        th_tar_add_text(tar, "README.md", "no sample");
        th_tar_add_text(tar, "./x/0001.jpg", "picture 1");
        th_tar_add_text(tar, "./x/0001.json", "{}");
        th_tar_add_text(tar, "./x/0001.txt", "first\nsecond");
        th_tar_add_text(tar, "x/0002.TXT", "text first");
        th_tar_add_text(tar, "x/0002.PNG", "picture 2");
        th_tar_add_text(tar, "x/._0003.jpg", "of a Mac");
        th_tar_add_text(tar, "x/0003.seg.png", "other picture");
        th_tar_add_text(tar, "x/0003.webp", "");
        th_tar_add_text(tar, "x/0003.txt", "");
        th_tar_add_text(tar, "y/0003.jpeg", "z");
        th_tar_add_text(tar, "y/0003.txt", "z");
        th_tar_close(tar);
    }
    th_source *source = open_source("wds", folder, "*.tar*");
    for (int i = 0; i < 2; i++) {
        expect(source, "x/0001", "picture 1", "first\nsecond");
        expect(source, "x/0002", "picture 2", "text first");
        expect(source, "x/0003", "", "");
        expect(source, "y/0003", "z", "z");
    }
    expect_end(source);
}

static void what_is_wrong_in_a_tar_has_a_reason(void **state)
{
    const char *folder = *state;
    char        path[400], long_name[400];
    static char large[TH_SOURCE_TEXT_BYTES + 1];

    memset(long_name, 'k', sizeof long_name);
    memcpy(long_name + 300, ".jpg", 5);
    th_test_path(path, sizeof path, folder, "a.tar");
    struct archive *tar = th_make_tar(path, 0);
    th_tar_add_text(tar, "no_text.jpg", "p");
    th_tar_add_text(tar, "no_picture.txt", "t");
    th_tar_add_text(tar, "../up.jpg", "p");
    th_tar_add_text(tar, "../up.txt", "t");
    th_tar_add_text(tar, "a/../../up.jpg", "p");
    th_tar_add_text(tar, "/etc/root.jpg", "p");
    th_tar_add_text(tar, "twice.jpg", "p");
    th_tar_add_text(tar, "twice.png", "p");
    th_tar_add_text(tar, "twice.txt", "t");
    th_tar_add(tar, "large.txt", large, sizeof large);
    th_tar_add_text(tar, "large.jpg", "p");
    th_tar_add_text(tar, "good.jpg", "p");
    th_tar_add_text(tar, "good.txt", "t");
    th_tar_add_text(tar, "no_text.jpg", "p");
    th_tar_add_text(tar, "no_text.txt", "t");
    th_tar_add_text(tar, long_name, "p");
    th_tar_close(tar);

    th_source *source = open_source("wds", folder, "a.tar");
    expect_refused(source, "no_text", "missing caption");
    expect_refused(source, "no_picture", "missing picture");
    expect_refused(source, "../up", "unsafe path");
    expect_refused(source, "a/../../up", "unsafe path");
    expect_refused(source, "/etc/root", "unsafe path");
    expect_refused(source, "twice", "duplicate key: two pictures");
    expect_refused(source, "large", "member too large");
    expect(source, "good", "p", "t");
    expect_refused(source, "no_text", "duplicate key");
    long_name[255] = 0;
    expect_refused(source, long_name, "key too long");
    expect_end(source);
}

static void names_in_every_script_are_kept(void **state)
{
    const char *folder = *state;
    char        path[400];

    th_test_path(path, sizeof path, folder, "a.tar");
    struct archive *tar = th_make_tar(path, 0);
    th_tar_add_text(tar, "d\xc3\xa9j\xc3\xa0/\xe9\x9b\xaa.jpg", "p");
    th_tar_add_text(tar, "d\xc3\xa9j\xc3\xa0/\xe9\x9b\xaa.txt", "t");
    th_tar_close(tar);
    th_source *source = open_source("wds", folder, "a.tar");
    expect(source, "d\xc3\xa9j\xc3\xa0/\xe9\x9b\xaa", "p", "t");
    expect_end(source);
}

// Three samples of one block a member: 12 blocks of 512 bytes. Cut at every 100 bytes: whatever was
// whole before the cut is given, and the cut has a reason. Then the next tar goes on.
static void a_cut_tar_gives_what_is_whole(void **state)
{
    const char *folder = *state;
    char        path[400], next[400];

    th_test_path(path, sizeof path, folder, "a.tar");
    th_test_path(next, sizeof next, folder, "b.tar");
    for (int i = 0; i < 2; i++) {
        struct archive *tar = th_make_tar(i ? next : path, 0);
        for (int k = 0; k < (i ? 1 : 3); k++) {
            char name[16];
            (void)snprintf(name, sizeof name, "%d.jpg", k);
            th_tar_add_text(tar, name, "picture");
            (void)snprintf(name, sizeof name, "%d.txt", k);
            th_tar_add_text(tar, name, "text");
        }
        th_tar_close(tar);
    }
    for (int size = 12 * 512; size > 0; size -= 100) {
        th_item item;
        bool    more;
        th_err  err = { 0 };
        int     good = 0, refused = 0;

        assert_int_equal(truncate(path, size), 0);
        th_source *source = open_source("wds", folder, "*.tar");
        for (;;) {
            th_assert_ok(th_source_next(source, &item, &more, &err), &err);
            if (!more)
                break;
            if (item.reason[0])
                refused++;
            else
                good++;
            if (strstr(item.source, "b.tar"))
                assert_string_equal(item.reason, "");
            th_item_free(&item);
        }
        th_source_close(source);
        // A sample is 2048 bytes; its text is whole with the header and the first four bytes of
        // data.
        int whole = size / 2048 + (size % 2048 >= 1536 + 4);
        if (good != whole + 1 || refused < 1)
            fail_msg("cut at %d: %d good, %d refused", size, good, refused);
    }
}

static void garbage_and_missing_tars_have_reasons(void **state)
{
    const char *folder = *state;
    char        path[400], noise[3000];

    for (unsigned i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 2654435761u >> 24);
    th_test_path(path, sizeof path, folder, "1.tar");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(noise, 1, sizeof noise, file), sizeof noise);
    assert_int_equal(fclose(file), 0);
    th_test_path(path, sizeof path, folder, "2.tar");
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);

    th_source *source = open_source("wds", folder, "{1..3}.tar");
    expect_refused(source, "", "tar: ");
    expect_refused(source, "", "tar: ");
    expect_refused(source, "", "unreadable tar: No such file");
    expect_end(source);
}

static void csv_rows_become_samples(void **state)
{
    const char *folder = *state;

    write_text(folder, "p.jpg", "picture p");
    write_text(folder, "q,r.jpg", "picture q");
    write_text(folder, "c.csv",
               "\xef\xbb\xbfid,title,filepath\r\n"
               "1,a plain one,p.jpg\r\n"
               "\r\n"
               "2,\"with, a comma\",p.jpg\n"
               "3,\"with \"\"quotes\"\"\",p.jpg\n"
               "4,\"over\r\ntwo lines\",\"q,r.jpg\"\n"
               "6,6\" long,p.jpg");
    th_source *source = open_source("csv", folder, "c.csv");
    expect(source, "p.jpg", "picture p", "a plain one\nwith, a comma\nwith \"quotes\"\n");
    expect(source, "q,r.jpg", "picture q", "over  two lines\n");
    expect(source, "p.jpg", "picture p", "6\" long\n");
    expect_end(source);

    write_text(folder, "t.tsv", "filepath\ttitle\np.jpg\ta, b\np.jpg\tc\n");
    source = open_source("csv", folder, "t.tsv");
    expect(source, "p.jpg", "picture p", "a, b\nc\n");
    expect_end(source);
}

static void what_is_wrong_in_a_csv_has_its_line(void **state)
{
    const char *folder = *state;

    write_text(folder, "p.jpg", "picture");
    write_text(folder, "c.csv",
               "filepath,title\n"
               "missing.jpg,a\n"
               "../p.jpg,b\n"
               "p.jpg,c,d\n"
               "p.jpg\n"
               ",e\n"
               "p.jpg,\"f\"g\n"
               ".,folder\n"
               "p.jpg,good\n"
               "p.jpg,\n"
               "p.jpg,NADA\n"
               "p.jpg,\"N/A\"\n"
               "p.jpg,\"never closed\np.jpg,h\n");
    th_source *source = open_source("csv", folder, "c.csv");
    expect_refused(source, "../p.jpg", "unsafe path: line 3");
    expect_refused(source, "p.jpg", "line 4: 3 fields, the header has 2");
    expect_refused(source, "p.jpg", "line 5: 1 fields");
    expect_refused(source, "", "line 6");
    expect_refused(source, "p.jpg", "line 7: text behind a closing quote");
    // A sample is complete, and given, when a good row names another picture.
    expect_refused(source, "missing.jpg", "line 2: No such file");
    expect_refused(source, ".", "not a file: line 8");
    expect_refused(source, "p.jpg", "empty caption: line 10");
    expect_refused(source, "p.jpg", "empty caption: line 12: \"N/A\" is no value");
    expect_refused(source, "p.jpg", "line 13: a quote is not closed");
    expect(source, "p.jpg", "picture", "good\nNADA\n"); // what is refused between ends no sample
    expect_end(source);
}

static void wrong_specs_are_refused(void **state)
{
    const char *folder = *state;
    char        spec[500];
    th_source  *source = NULL;
    th_err      err = { 0 };

    th_assert_error(th_source_open("zip:x", &source, &err), TH_EUSAGE, &err, "no known kind");
    (void)snprintf(spec, sizeof spec, "wds:%s/*.tar", folder);
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "no file matches");
    (void)snprintf(spec, sizeof spec, "wds:%s/one.tar", folder);
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "no file matches");
    (void)snprintf(spec, sizeof spec, "wds:%s/{9..1}.tar", folder);
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "runs backwards");
    (void)snprintf(spec, sizeof spec, "csv:%s/none.csv", folder);
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "none.csv");
    write_text(folder, "c.csv", "path,title\n");
    (void)snprintf(spec, sizeof spec, "csv:%s/c.csv", folder);
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "no column \"filepath\"");
    write_text(folder, "c.csv", "");
    th_assert_error(th_source_open(spec, &source, &err), TH_EUSAGE, &err, "is empty");
}

static void patterns_are_expanded_in_name_order(void **state)
{
    const char *folder = *state;
    char        pattern[500], want[500];
    char      **paths;
    size_t      count;
    th_err      err = { 0 };

    for (int i = 0; i < 12; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%03d.tar", i);
        write_text(folder, name, "x");
    }
    (void)snprintf(pattern, sizeof pattern, "'%s/{{008..011},002,00{0..1},00*}.tar'", folder);
    th_assert_ok(th_paths_match(pattern, &paths, &count, &err), &err);
    assert_int_equal(count, 12);
    for (int i = 0; i < 12; i++) {
        (void)snprintf(want, sizeof want, "%s/%03d.tar", folder, i);
        assert_string_equal(paths[i], want);
    }
    th_paths_free(paths, count);
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(tars_are_grouped_by_key),
        IN_A_FOLDER(what_is_wrong_in_a_tar_has_a_reason),
        IN_A_FOLDER(names_in_every_script_are_kept),
        IN_A_FOLDER(a_cut_tar_gives_what_is_whole),
        IN_A_FOLDER(garbage_and_missing_tars_have_reasons),
        IN_A_FOLDER(csv_rows_become_samples),
        IN_A_FOLDER(what_is_wrong_in_a_csv_has_its_line),
        IN_A_FOLDER(wrong_specs_are_refused),
        IN_A_FOLDER(patterns_are_expanded_in_name_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
