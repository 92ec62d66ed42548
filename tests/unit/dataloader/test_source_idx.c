// MNIST's form of data sets, plain and gzip, and what a hostile file can claim.
#include "dataloader/image/image.h"
#include "tests/unit/dataloader/source_fixture.h"
#include <unistd.h>
#include <zlib.h>

// 3 pictures, 3 wide and 2 high: byte i of the file's values is 10 i.
#define PICTURES "\0\0\10\3\0\0\0\3\0\0\0\2\0\0\0\3"
#define VALUES   "\0\12\24\36\50\62\74\106\120\132\144\156\170\202\214\226\240\252"
#define LABELS   "\0\0\10\1\0\0\0\3\1\0\1"

static const char classes[] =
    "{\"classes\": [\"cat\", \"dog\"], \"templates\": [\"a {c}\", \"my {c}\"]}";

// A file of these bytes, all of a literal but its end mark.
#define WRITE(folder, name, bytes) write_bytes(folder, name, bytes, sizeof bytes - 1)

static void write_gzip(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[400];

    th_test_path(path, sizeof path, folder, name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

static th_source *open_idx(const char *folder, const char *name)
{
    static char path[400];

    WRITE(folder, "classes.json", classes);
    th_test_path(path, sizeof path, folder, "classes.json");
    return open_kind("idx", folder, name, (th_source_options){ .classes = path });
}

// The next picture is grey, 3 x 2, and its bytes follow VALUES from `first` on.
static void expect_picture(th_source *source, const char *key, int first, const char *text)
{
    th_item  item;
    bool     more = false;
    th_image image = { 0 };
    th_err   err = { 0 };

    th_assert_ok(th_source_next(source, &item, &more, &err), &err);
    assert_true(more);
    assert_string_equal(item.reason, "");
    assert_string_equal(item.key, key);
    assert_int_equal(item.text_bytes, strlen(text));
    assert_memory_equal(item.text, text, strlen(text));
    th_assert_ok(th_image_decode(item.image, item.image_bytes, TH_ALPHA_WHITE, &image, &err), &err);
    assert_int_equal(image.width, 3);
    assert_int_equal(image.height, 2);
    for (int i = 0; i < 18; i++)
        assert_int_equal(image.pixels[i], 10 * (first + i / 3));
    th_image_free(&image);
    th_item_free(&item);
}

static void expect_all(th_source *source)
{
    expect_picture(source, "0", 0, "a dog\nmy dog\n");
    expect_picture(source, "1", 6, "a cat\nmy cat\n");
    expect_picture(source, "2", 12, "a dog\nmy dog\n");
}

static void pictures_come_with_the_prompts_of_their_class(void **state)
{
    const char *folder = *state;

    WRITE(folder, "t-images-idx3-ubyte", PICTURES VALUES);
    WRITE(folder, "t-labels-idx1-ubyte", LABELS);
    th_source *source = open_idx(folder, "t-images-idx3-ubyte");
    expect_all(source);
    expect_end(source);
    write_gzip(folder, "z-images.idx3-ubyte.gz", PICTURES VALUES, sizeof PICTURES VALUES - 1);
    write_gzip(folder, "z-labels.idx1-ubyte.gz", LABELS, sizeof LABELS - 1);
    source = open_idx(folder, "z-images.idx3-ubyte.gz");
    expect_all(source);
    expect_end(source);
}

static void what_cannot_be_a_source_is_refused(void **state)
{
    static const struct {
        const char *pictures;
        size_t      pictures_size;
        const char *labels;
        size_t      labels_size;
        const char *words;
    } cases[] = {
#define CASE(pictures, labels, words)                                                              \
    { pictures, sizeof pictures - 1, labels, sizeof labels - 1, words }
        CASE("", LABELS, "images-idx3\" has no header of idx: it is empty"),
        CASE("\0\0\10\3\0\0\0\3\0\0\0\2\0\0\0", LABELS, "it ends too early"),
        CASE("\0\0\10\1\0\0\0\3\0\0\0\2\0\0\0\3", LABELS, "it begins 00 00 08 01"),
        CASE("\0\0\15\3\0\0\0\3\0\0\0\2\0\0\0\3", LABELS, "it begins 00 00 0d 03"),
        CASE("\37\213\10\0 no gzip beyond this", LABELS, "no header of idx: "),
        CASE("\0\0\10\3\0\0\0\3\377\377\377\377\377\377\377\377", LABELS,
             "4294967295 x 4294967295 pixels"),
        CASE("\0\0\10\3\0\0\0\3\0\0\20\1\0\0\0\1", LABELS, "1 x 4097 pixels"),
        CASE("\0\0\10\3\0\0\0\3\0\0\0\0\0\0\0\3", LABELS, "3 x 0 pixels"),
        CASE(PICTURES, "\0\0\10\1\0\0\0\2\1\0", "has 3 pictures"),
        CASE("\0\0\10\3\377\377\377\377\0\0\0\2\0\0\0\3", LABELS, "has 4294967295 pictures"),
        CASE(PICTURES, PICTURES, "in 1 dimensions: it begins 00 00 08 03"),
    };
    const char *folder = *state;
    char        path[400];

    WRITE(folder, "classes.json", classes);
    th_test_path(path, sizeof path, folder, "classes.json");
    th_source_options options = { .classes = path };
    expect_no_source("idx", folder, "images-idx3", (th_source_options){ 0 }, TH_EUSAGE,
                     "nothing says what they mean");
    expect_no_source("idx", folder, "images-idx3", options, TH_EUSAGE, "could not open");
    expect_no_source("idx", folder, "labels-idx1", options, TH_EUSAGE, "has no \"images\"");
    expect_no_source("idx", folder, "idx3-images", options, TH_EUSAGE, "has no \"images\"");
    make_folder(folder, "images-idx3-folder");
    expect_no_source("idx", folder, "images-idx3-folder", options, TH_EUSAGE, "is not a file");
    WRITE(folder, "images-idx3", PICTURES VALUES);
    expect_no_source("idx", folder, "images-idx3", options, TH_EUSAGE, "labels-idx1");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes(folder, "images-idx3", cases[i].pictures, cases[i].pictures_size);
        write_bytes(folder, "labels-idx1", cases[i].labels, cases[i].labels_size);
        expect_no_source("idx", folder, "images-idx3", options, TH_EDATA, cases[i].words);
    }
    WRITE(folder, "classes.json", "{\"classes\": []}");
    expect_no_source("idx", folder, "images-idx3", options, TH_EDATA, "has no \"templates\"");
}

static void what_is_cut_or_too_long_ends_with_a_reason(void **state)
{
    const char *folder = *state;
    char        path[400];
    struct stat status;

    WRITE(folder, "a-images-idx3", PICTURES "\0\12\24\36\50\62\74\106");
    WRITE(folder, "a-labels-idx1", LABELS);
    th_source *source = open_idx(folder, "a-images-idx3");
    expect_picture(source, "0", 0, "a dog\nmy dog\n");
    expect_refused(source, "1", "picture 1: it ends too early");
    expect_end(source);

    WRITE(folder, "b-images-idx3", PICTURES VALUES "!");
    WRITE(folder, "b-labels-idx1", LABELS);
    source = open_idx(folder, "b-images-idx3");
    expect_all(source);
    expect_refused(source, "", "too many bytes: ");
    expect_end(source);

    WRITE(folder, "c-images-idx3", PICTURES VALUES);
    WRITE(folder, "c-labels-idx1", "\0\0\10\1\0\0\0\3\377\2");
    source = open_idx(folder, "c-images-idx3");
    expect_refused(source, "0", "unknown class: label 255");
    expect_refused(source, "1", "unknown class: label 2");
    expect_refused(source, "2", "c-labels-idx1\", picture 2: it ends too early");
    expect_end(source);

    // All pictures stand before the end of the gzip, where its sum and length are.
    write_gzip(folder, "d-images-idx3", PICTURES VALUES, sizeof PICTURES VALUES - 1);
    WRITE(folder, "d-labels-idx1", LABELS);
    th_test_path(path, sizeof path, folder, "d-images-idx3");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size - 5), 0);
    source = open_idx(folder, "d-images-idx3");
    expect_all(source);
    expect_refused(source, "", "picture 3: unexpected end of file");
    expect_end(source);
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(pictures_come_with_the_prompts_of_their_class),
        IN_A_FOLDER(what_cannot_be_a_source_is_refused),
        IN_A_FOLDER(what_is_cut_or_too_long_ends_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
