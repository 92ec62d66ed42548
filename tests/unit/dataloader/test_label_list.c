/* tests/unit/dataloader/test_label_list.c - labels of pictures read from a table and from JSON,
 * brought together with a pack's records, and what is wrong with them refused by line and name. */
#include "tests/test.h"

#include "dataloader/label_list.h"
#include "pack_fixture.h"

#define RECORDS 4

/* Records 0 and 1 by ids of their own, 2 as a row of a table, 3 with the id of record 1. */
static void set_id(int64_t number, fixture *f)
{
    static const uint64_t ids[] = { 0x0123456789abcdef, 0xfedcba9876543210, 0, 0xfedcba9876543210 };

    f->record.sample_id = number == 2 ? th_sample_id("data/pictures.csv", "a/2.png") : ids[number];
}

typedef struct {
    char          folder[4096], labels[4096];
    th_class_list classes;
    th_pack      *pack;
} room;

static const pack_plan plan = {
    .records = RECORDS, .shards = 1, .size = 4, .captions = 1, .change = set_id
};

static void open_room(room *r, const char *folder)
{
    static const char list[] = "{\"classes\": [\"cat\", \"0\", \"dog\", \"dog\", \"\\u732b\"], "
                               "\"templates\": [\"a {c}\"]}";
    char              path[4096];
    th_err            err = { 0 };

    th_test_path(r->folder, sizeof r->folder, folder, "pack");
    th_test_path(r->labels, sizeof r->labels, folder, "labels");
    th_test_path(path, sizeof path, folder, "classes.json");
    th_assert_ok(th_file_replace(path, list, strlen(list), &err), &err);
    th_assert_ok(th_class_list_open(path, NULL, NULL, &r->classes, &err), &err);
    th_assert_ok(th_folder_make(r->folder, &err), &err);
    pack_write(r->folder, &plan);
    th_assert_ok(th_pack_open(r->folder, &r->pack, &err), &err);
}

static void close_room(room *r)
{
    th_class_list_close(&r->classes);
    th_pack_close(r->pack);
}

static th_code read_labels(room *r, const char *text, int32_t label[RECORDS], th_err *err)
{
    th_label_list list = { 0 };
    th_err        written = { 0 };

    th_assert_ok(th_file_replace(r->labels, text, strlen(text), &written), &written);
    th_code rc = th_label_list_open(r->labels, &r->classes, &list, err);
    if (rc == TH_OK)
        rc = th_label_list_apply(&list, r->pack, label, err);
    th_label_list_close(&list);
    return rc;
}

static void every_form_labels_its_pictures(void **state)
{
    static const struct {
        const char *text;
        int32_t     label[RECORDS];
    } good[] = {
        { "0123456789abcdef\tcat\npictures.csv\ta/2.png\t4\n", { 0, -1, 4, -1 } },
        { "\xef\xbb\xbf"
          "00000000-0123456789abcdef.png\t0\r\n\r\n00000003-fedcba9876543210\t\xe7\x8c\xab",
          { 1, -1, -1, 4 } }, // a class has the name "0"
        { "00000001-fedcba9876543210\tcat\n00000003-fedcba9876543210\t3\n", { -1, 0, -1, 3 } },
        { "{\"0123456789abcdef\": 0, \"pictures.csv\": {\"a/2.png\": \"\\u732b\"}}",
          { 0, -1, 4, -1 } },
        { " \n\t{\"1-fedcba9876543210\": \"0\",\n \"0003-fedcba9876543210\": 2}",
          { -1, 1, -1, 2 } },
    };
    room   r;
    th_err err = { 0 };

    open_room(&r, *state);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int32_t label[RECORDS];
        th_assert_ok(read_labels(&r, good[i].text, label, &err), &err);
        for (int k = 0; k < RECORDS; k++)
            assert_int_equal(label[k], good[i].label[k]);
    }
    close_room(&r);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "", "has no label" },
        { "{}", "has no label" },
        { "{\"a", "line 1" },
        { "0123456789abcdef cat\n", "line 1 of" },
        { "0123456789abcdef\tcat\n\na\tb\tc\td\n", "line 3 of" },
        { "x.csv\ty\tcow\n", "line 1 of" },
        { "0123456789abcde\tcat\n", "\"0123456789abcde\" is no picture's name" },
        { "0123456789abcdef.jpg\tcat\n", "is no picture's name" },
        { "-0123456789abcdef\tcat\n", "is no picture's name" },
        { "9999999999999999999-0123456789abcdef\tcat\n", "is no picture's name" },
        { "0123456789abcdef\tcow\n", "there is no class \"cow\"" },
        { "0123456789abcdef\t\n", "there is no class \"\"" },
        { "0123456789abcdef\t-1\n", "there is no class \"-1\"" },
        { "0123456789abcdef\t5\n", "class 5 of classes 0 to 4" },
        { "0123456789abcdef\tdog\n", "two classes have the name \"dog\"" },
        { "{\"0123456789abcdef\": \"4\"}", "there is no class \"4\"" },
        { "{\"0123456789abcdef\": 5}", "class 5 of classes 0 to 4" },
        { "{\"0123456789abcdef\": -1}", "class -1 of" },
        { "{\"0123456789abcdef\": 0.0}", "no name and no whole number" },
        { "{\"a\": {\"b\": {}}}", "no name and no whole number" },
        { "{\"0123456789abcdef\": 1, \"0123456789abcdef\": 1}", "duplicate object key" },
        { "0123456789abcdef\tcat\n00000001-fedcba9876543210\t0\n0123456789abcdef\tcat\n",
          "line 3 is of the same picture as 1" },
        { "00000000-0123456789abcdef\tcat\n0123456789abcdef\tcat\n",
          "line 1 is of the same picture as 2" },
        { "{\"0123456789abcdef\": 1, \"0-0123456789abcdef\": 1}",
          "entry 2 is of the same picture as 1" },
        { "fedcba9876543210\tcat\n", "that of records 1 and 3" },
        { "0123456789abcdee\tcat\n", "has no picture 0123456789abcdee" },
        { "other.csv\ta/2.png\tcat\n", "which label 1 names" },
        { "00000001-0123456789abcdef\tcat\n", "has no picture 00000001-0123456789abcdef" },
    };
    room   r;
    th_err err = { 0 };

    open_room(&r, *state);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t label[RECORDS];
        th_assert_error(read_labels(&r, bad[i].text, label, &err), TH_EDATA, &err, bad[i].words);
    }
    close_room(&r);
}

// A damaged record may be the one that a label means.
static void a_damaged_record_has_no_label(void **state)
{
    room    r;
    int32_t label[RECORDS];
    th_err  err = { 0 };

    open_room(&r, *state);
    th_pack_close(r.pack);
    pack_damage_id(r.folder, &plan, 0x0123456789abcdef);
    th_assert_ok(th_pack_open(r.folder, &r.pack, &err), &err);
    th_assert_ok(read_labels(&r, "0123456789abcdef\tcat\n1-fedcba9876543210\tcat\n", label, &err),
                 &err);
    assert_int_equal(label[0], -1);
    assert_int_equal(label[1], 0);
    close_room(&r);
}

static void a_file_that_is_not_there(void **state)
{
    static const th_class_list none = { 0 };
    th_label_list              list;
    th_err                     err = { 0 };
    char                       path[4096];

    th_test_path(path, sizeof path, *state, "gone");
    th_assert_error(th_label_list_open(path, &none, &list, &err), TH_EUSAGE, &err, "gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_form_labels_its_pictures, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(a_damaged_record_has_no_label, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_there, th_test_folder_open,
                                        th_test_folder_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
