// Folders of pictures, what img2dataset writes, and tars whose captions stand in JSON.
#include "tests/unit/dataloader/make_tar.h"
#include "tests/unit/dataloader/source_fixture.h"

#include <unistd.h>

static void pictures_of_a_folder_have_texts_beside(void **state)
{
    const char *folder = *state;

    make_folder(folder, "in");
    make_folder(folder, "in/b");
    make_folder(folder, "in/.cache");
    write_text(folder, "in/c.v2.PNG", "picture c");
    write_text(folder, "in/c.v2.txt", "one\ntwo\n");
    write_text(folder, "in/a.jpg", "picture a");
    write_text(folder, "in/a.txt", "of a");
    write_text(folder, "in/b/x.webp", "picture x");
    write_text(folder, "in/b/x.txt", "of x");
    write_text(folder, "in/b/y.jpeg", "picture y"); // no text
    write_text(folder, "in/lonely.txt", "of nothing");
    write_text(folder, "in/.hidden.jpg", "hidden");
    write_text(folder, "in/.cache/z.jpg", "hidden");
    write_text(folder, "in/stats.json", "{}");
    th_source *source = open_source("folder", folder, "in//");
    expect(source, "a.jpg", "picture a", "of a");
    expect(source, "b/x.webp", "picture x", "of x");
    expect_refused(source, "b/y.jpeg", "missing caption: ");
    expect(source, "c.v2.PNG", "picture c", "one\ntwo\n");
    expect_refused(source, "lonely.txt", "missing picture: ");
    expect_end(source);
}

static void links_are_followed_but_not_in_circles(void **state)
{
    const char *folder = *state;
    char        path[400];

    make_folder(folder, "in");
    make_folder(folder, "blobs");
    write_text(folder, "blobs/1", "picture");
    write_text(folder, "in/a.txt", "text");
    th_test_path(path, sizeof path, folder, "in/a.jpg");
    assert_int_equal(symlink("../blobs/1", path), 0);
    th_test_path(path, sizeof path, folder, "in/b.jpg");
    assert_int_equal(symlink("nowhere", path), 0);
    th_test_path(path, sizeof path, folder, "in/c");
    assert_int_equal(symlink("..", path), 0);
    make_folder(folder, "in/d.jpg");
    th_source *source = open_source("folder", folder, "in");
    expect(source, "a.jpg", "picture", "text");
    expect_refused(source, "b.jpg", "missing picture: ");
    expect_refused(source, "c/in", "circle");
    expect_end(source);
    expect_no_source("folder", folder, "none", (th_source_options){ 0 }, TH_EUSAGE,
                     "does not exist");
}

// The same two samples, as files and as tars.
static void img2dataset_writes_files_or_tars(void **state)
{
    const char             *folder = *state;
    char                    path[400];
    const th_source_options json = { .captions = "json:caption" };

    make_folder(folder, "files");
    make_folder(folder, "files/00000");
    make_folder(folder, "files/00001");
    write_text(folder, "files/00000.parquet", "PAR1");
    write_text(folder, "files/00000_stats.json", "{\"count\": 2}");
    write_text(folder, "files/00000/000000000.jpg", "picture 0");
    write_text(folder, "files/00000/000000000.txt", "text 0");
    write_text(folder, "files/00000/000000000.json", "{\"caption\": \"json 0\"}");
    write_text(folder, "files/00001/000010000.jpg", "picture 1");
    write_text(folder, "files/00001/000010000.txt", "text 1");
    write_text(folder, "files/00001/000010000.json", "{\"caption\": null}");
    th_source *source = open_source("img2dataset", folder, "files");
    expect(source, "00000/000000000.jpg", "picture 0", "text 0");
    expect(source, "00001/000010000.jpg", "picture 1", "text 1");
    expect_end(source);
    source = open_kind("img2dataset", folder, "files", json);
    expect(source, "00000/000000000.jpg", "picture 0", "json 0\n");
    expect_refused(source, "00001/000010000.jpg", "missing caption: ");
    expect_end(source);

    make_folder(folder, "ta[r]s");
    write_text(folder, "ta[r]s/00000.parquet", "PAR1");
    write_text(folder, "ta[r]s/00000_stats.json", "{}");
    th_test_path(path, sizeof path, folder, "ta[r]s/00000.tar");
    struct archive *tar = th_make_tar(path, 0);
    th_tar_add_text(tar, "000000000.jpg", "picture 0");
    th_tar_add_text(tar, "000000000.json", "{\"caption\": \"json 0\"}");
    th_tar_add_text(tar, "000000000.txt", "text 0");
    th_tar_close(tar);
    source = open_source("img2dataset", folder, "ta[r]s");
    expect(source, "000000000", "picture 0", "text 0");
    expect_end(source);
    expect_no_source("img2dataset", folder, "{1,2}", (th_source_options){ 0 }, TH_EUSAGE, "braces");
}

static void captions_of_tars_stand_in_json(void **state)
{
    static const struct {
        const char *json, *text, *reason;
    } cases[] = {
        { "{\"caption\": \"one\", \"width\": 3}", "one\n", NULL },
        { "{\"caption\": [\"one\", \"two\\nlines\"]}", "one\ntwo lines\n", NULL },
        { "{\"caption\": \"\"}", "\n", NULL }, // blank: the packer refuses it
        { "{\"text\": \"one\"}", NULL, "missing caption: member \"caption\" is not there" },
        { "{\"caption\": []}", NULL, "missing caption" },
        { "{\"caption\": 5}", NULL, "wrong type: " },
        { "{\"caption\": [\"one\", 5]}", NULL, "wrong type: " },
        { "[\"caption\"]", NULL, "damaged JSON: it is no object" },
        { "{\"caption\": \"on", NULL, "damaged JSON: " },
        { "{\"caption\": \"a\\u0000b\"}", NULL, "damaged JSON: " },
        { "{\"caption\": \"a\", \"id\": 1e999}", NULL, "damaged JSON: " },
        { "", NULL, "damaged JSON: " },
    };
    const char *folder = *state;
    const int   count = sizeof cases / sizeof *cases;
    char        path[400], name[24];

    th_test_path(path, sizeof path, folder, "a.tar");
    struct archive *tar = th_make_tar(path, 1);
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%02d.jpg", i);
        th_tar_add_text(tar, name, "picture");
        (void)snprintf(name, sizeof name, "%02d.json", i);
        th_tar_add_text(tar, name, cases[i].json);
        (void)snprintf(name, sizeof name, "%02d.txt", i);
        th_tar_add_text(tar, name, "not this");
    }
    th_tar_close(tar);
    th_source *source =
        open_kind("wds", folder, "a.tar", (th_source_options){ .captions = "json:caption" });
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%02d", i);
        if (cases[i].text)
            expect(source, name, "picture", cases[i].text);
        else
            expect_refused(source, name, cases[i].reason);
    }
    expect_end(source);
    expect_no_source("wds", folder, "a.tar", (th_source_options){ .captions = "xml:caption" },
                     TH_EUSAGE, "no known kind");
}

// "::" keeps the order of the lists, which is not that of names.
static void lists_of_tars_are_joined(void **state)
{
    const char *folder = *state;
    char        path[400], list[600];

    for (int i = 0; i < 3; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%d.tar", i);
        th_test_path(path, sizeof path, folder, name);
        struct archive *tar = th_make_tar(path, 0);
        (void)snprintf(name, sizeof name, "%d.jpg", i);
        th_tar_add_text(tar, name, "picture");
        (void)snprintf(name, sizeof name, "%d.txt", i);
        th_tar_add_text(tar, name, "text");
        th_tar_close(tar);
    }
    (void)snprintf(list, sizeof list, "2.tar::%s/{0..1}.tar", folder);
    th_source *source = open_source("wds", folder, list);
    expect(source, "2", "picture", "text");
    expect(source, "0", "picture", "text");
    expect(source, "1", "picture", "text");
    expect_end(source);
    (void)snprintf(list, sizeof list, "2.tar::%s/7.tar", folder);
    expect_no_source("wds", folder, list, (th_source_options){ 0 }, TH_EUSAGE, "no file matches");
}

static void unknown_kinds_and_options_are_refused(void **state)
{
    const char *folder = *state;

    expect_no_source("zip", folder, "x", (th_source_options){ 0 }, TH_EUSAGE, "wds:'data/*.tar'");
    expect_no_source("zip", folder, "x", (th_source_options){ 0 }, TH_EUSAGE, "folder:photos");
    expect_no_source("folder", folder, "", (th_source_options){ .split = "test" }, TH_EUSAGE,
                     "option split means nothing");
    expect_no_source("wds", folder, "", (th_source_options){ .images = "x" }, TH_EUSAGE,
                     "option images means nothing");
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(pictures_of_a_folder_have_texts_beside),
        IN_A_FOLDER(links_are_followed_but_not_in_circles),
        IN_A_FOLDER(img2dataset_writes_files_or_tars),
        IN_A_FOLDER(captions_of_tars_stand_in_json),
        IN_A_FOLDER(lists_of_tars_are_joined),
        IN_A_FOLDER(unknown_kinds_and_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
