// Names of pictures in a folder, and captions of a file: what thaw embed is told to look at.
#include "dataloader/source/picture_list.h"
#include "tests/unit/dataloader/source_fixture.h"

#include <unistd.h>

static void expect_texts(const th_text_list *list, const char *const *want)
{
    for (int64_t i = 0; i < list->count; i++) {
        assert_non_null(want[i]);
        assert_string_equal(list->text[i], want[i]);
    }
    assert_null(want[list->count]);
}

static void pictures_are_listed_in_order(void **state)
{
    static const char *const want[] = { "a.JPG", "b.jpg", "c/in.webp", "c/z.png", "d.jpeg", NULL };
    const char              *folder = *state;
    char                     path[400];
    th_picture_list          list = { 0 };
    th_picture_room          room = { 0 };
    uint8_t                  pixels[4 * 4 * 3];
    th_pack_info how = { .size = 4, .filter = "box", .alpha = "white", .exif = "ignore" };
    th_err       err = { 0 };

    make_folder(folder, "c");
    make_folder(folder, ".hidden");
    make_folder(folder, "e.png"); // a folder is no picture
    write_text(folder, "d.jpeg", "no picture");
    write_text(folder, "c/z.png", "");
    write_text(folder, "c/in.webp", "no picture");
    write_text(folder, "c/notes.txt", "");
    write_text(folder, "a.JPG", "no picture");
    write_text(folder, ".a.jpg", "hidden");
    write_text(folder, ".hidden/x.jpg", "hidden");
    th_test_path(path, sizeof path, folder, "b.jpg");
    assert_int_equal(symlink("nowhere", path), 0);
    th_test_path(path, sizeof path, folder, "c/up");
    assert_int_equal(symlink("..", path), 0);
    th_assert_ok(th_picture_list_open(folder, &list, &err), &err);
    expect_texts(&list.names, want);
    th_assert_error(th_picture_list_read(&list, 0, &how, &room, pixels, &err), TH_EDATA, &err,
                    NULL);
    th_assert_error(th_picture_list_read(&list, 1, &how, &room, pixels, &err), TH_EDATA, &err,
                    "missing picture: ");
    th_assert_error(th_picture_list_read(&list, 3, &how, &room, pixels, &err), TH_EDATA, &err,
                    NULL);
    th_picture_room_done(&room);
    th_picture_list_close(&list);

    write_text(folder, "f\xff.jpg", "");
    th_assert_error(th_picture_list_open(folder, &list, &err), TH_EDATA, &err, "is not UTF-8");
    th_test_path(path, sizeof path, folder, "e.png");
    th_assert_error(th_picture_list_open(path, &list, &err), TH_EUSAGE, &err, "no picture is in");
    th_test_path(path, sizeof path, folder, "a.JPG");
    th_assert_error(th_picture_list_open(path, &list, &err), TH_EUSAGE, &err, "no picture is in");
    th_test_path(path, sizeof path, folder, "gone");
    th_assert_error(th_picture_list_open(path, &list, &err), TH_EUSAGE, &err, "does not exist");
}

static void captions_stand_one_a_line(void **state)
{
    static const char *const want[] = { "first", "inner  space", "\xc3\xa4", "no end", NULL };
    const char              *folder = *state;
    char                     path[400];
    th_text_list             list = { 0 };
    th_err                   err = { 0 };

    write_text(folder, "t",
               "\xef\xbb\xbf"
               "first\r\n\n \t\ninner  space  \n\t\xc3\xa4\nno end");
    th_test_path(path, sizeof path, folder, "t");
    th_assert_ok(th_text_list_read(path, 100, &list, &err), &err);
    expect_texts(&list, want);
    th_text_list_close(&list);
    th_assert_error(th_text_list_read(path, 10, &list, &err), TH_EDATA, &err,
                    "line 4 of \""); // of 12 bytes and two spaces
    assert_int_equal(list.count, 0);
    write_text(folder, "t", "good\nb\xc3(\n");
    th_assert_error(th_text_list_read(path, 100, &list, &err), TH_EDATA, &err, "byte 1");
    write_text(folder, "t", "\n  \r\n");
    th_assert_error(th_text_list_read(path, 100, &list, &err), TH_EUSAGE, &err, "no caption is in");
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(pictures_are_listed_in_order),
        IN_A_FOLDER(captions_stand_one_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
