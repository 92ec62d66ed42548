// Chinese-CLIP's pictures in base64 with their texts, and base64 by itself.
#include "dataloader/source/base64.h"
#include "tests/unit/dataloader/source_fixture.h"

static void base64_of_rfc_4648(void **state)
{
    static const struct {
        const char *text, *bytes; // NULL: refused
    } cases[] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg", "foob" },
        { "Zm9vYmFy", "foobar" },
        { "+/+/", "\xfb\xff\xbf" },
        { "-_-_", "\xfb\xff\xbf" },
        { "Z", NULL },
        { "Zm9vY", NULL },
        { "Zm 9", NULL },
        { "Zg=g", NULL },
        { "====", NULL },
        { "Zg=", NULL },
        { "Zm9\xff", NULL },
    };
    unsigned char out[32];
    size_t        size;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = th_base64_decode(cases[i].text, strlen(cases[i].text), out, &size);
        if (good != (cases[i].bytes != NULL))
            fail_msg("\"%s\" is %s", cases[i].text, good ? "accepted" : "refused");
        if (!good)
            continue;
        assert_int_equal(size, strlen(cases[i].bytes));
        assert_memory_equal(out, cases[i].bytes, size);
    }
}

static void pictures_come_with_the_texts_that_name_them(void **state)
{
    const char *folder = *state;

    write_text(folder, "t_imgs.tsv", "7\tcGljdHVyZSA3\r\n5\tcGljdHVyZSA1\n");
    write_text(folder, "t_texts.jsonl",
               "{\"text_id\": 1, \"text\": \"\xe7\x8c\xab\", \"image_ids\": [5, 7]}\n"
               "{\"text_id\": 2, \"text\": \"two\\nlines\", \"image_ids\": [7]}\n");
    th_source *source = open_source("cn_clip", folder, "t_imgs.tsv");
    expect(source, "7", "picture 7", "\xe7\x8c\xab\ntwo lines\n");
    expect(source, "5", "picture 5", "\xe7\x8c\xab\n");
    expect_end(source);
}

static void what_is_wrong_has_a_reason(void **state)
{
    static const char pictures[] = "7\tcGljdHVyZSA3\n7\tcGljdHVyZSA3\n8\tcGljdHVyZSA3\n"
                                   "9\tcGlj!HVyZSA3\nx\tcGlj\n99999999999999999999\tcGlj\n"
                                   "no tab\n6\0\tcGlj\n10\t";
    const char       *folder = *state;

    write_bytes(folder, "t_imgs.tsv", pictures, sizeof pictures - 1);
    write_text(folder, "t_texts.jsonl",
               "{\"text\": \"of 7\", \"image_ids\": [7]}\n"
               "{\"text\": \"of 9 and 3\", \"image_ids\": [9, 3, 3, 10]}\n"
               "{\"text\": 5, \"image_ids\": [7]}\n"
               "{\"text\": \"x\", \"image_ids\": 7}\n"
               "{\"text\": \"x\", \"image_ids\": [\"7\"]}\n"
               "{\"text\": \"x\", \"image_ids\": [99999999999999999999]}\n"
               "[]\n{\"text\": \"cut");
    th_source *source = open_source("cn_clip", folder, "t_imgs.tsv");
    for (int line = 3; line <= 8; line++) {
        char words[24];
        (void)snprintf(words, sizeof words, "line %d", line);
        expect_refused(source, "", words);
    }
    expect(source, "7", "picture 7", "of 7\n");
    expect_refused(source, "7", "duplicate id: ");
    expect_refused(source, "8", "missing caption: ");
    expect_refused(source, "9", "damaged base64: line 4");
    expect_refused(source, "x", "wrong type: the id of line 5");
    expect_refused(source, "99999999999999999999", "wrong type: the id of line 6");
    expect_refused(source, "no tab", "broken row: line 7");
    expect_refused(source, "6", "broken row: line 8");
    expect(source, "10", "", "of 9 and 3\n"); // no bytes: the decoder refuses it
    expect_refused(source, "3", "missing picture: text of line 2");
    expect_end(source);
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_rfc_4648),
        IN_A_FOLDER(pictures_come_with_the_texts_that_name_them),
        IN_A_FOLDER(what_is_wrong_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
