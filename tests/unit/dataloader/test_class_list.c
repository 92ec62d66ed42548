/* tests/unit/dataloader/test_class_list.c - classes and prompts read from JSON, in both forms, and
 * what is none refused. */
#include "tests/test.h"

#include "base/file.h"
#include "dataloader/class_list.h"

typedef struct {
    char classes[512], templates[512];
} files;

static files write_files(const char *folder, const char *classes, const char *templates)
{
    files  written;
    th_err err = { 0 };

    th_test_path(written.classes, sizeof written.classes, folder, "classes.json");
    th_test_path(written.templates, sizeof written.templates, folder, "templates.json");
    th_assert_ok(th_file_replace(written.classes, classes, strlen(classes), &err), &err);
    if (templates)
        th_assert_ok(th_file_replace(written.templates, templates, strlen(templates), &err), &err);
    return written;
}

static void one_file_holds_both(void **state)
{
    files         at = write_files(*state,
                                   "{\"classes\": [\"cat\", \"dog\"], "
                                           "\"templates\": [\"a {c}.\", \"{} and {c}: {x} {\"]}",
                                   NULL);
    th_class_list list;
    th_err        err = { 0 };

    th_assert_ok(th_class_list_open(at.classes, NULL, NULL, &list, &err), &err);
    assert_int_equal(list.classes, 2);
    assert_int_equal(list.first[1], 2);
    assert_int_equal(list.first[2], 4);
    assert_string_equal(list.name[1], "dog");
    assert_string_equal(list.prompt[0], "a cat.");
    assert_string_equal(list.prompt[3], "dog and dog: {x} {");
    th_class_list_close(&list);
}

static void two_files_are_clip_benchmarks(void **state)
{
    files         at = write_files(*state, "{\"a\": [\"cat\"], \"b\": [\"dog\", \"cow\"]}",
                                   "{\"a\": [\"{c}\"], \"b\": {\"cow\": [\"moo\", \"milk\"], "
                                           "\"dog\": [\"bow {c}\"]}}");
    th_class_list list;
    th_err        err = { 0 };

    th_assert_ok(th_class_list_open(at.classes, at.templates, "b", &list, &err), &err);
    assert_int_equal(list.classes, 2);
    assert_string_equal(list.prompt[0], "bow {c}"); // a class's own texts stand as they are
    assert_string_equal(list.prompt[2], "milk");
    assert_int_equal(list.first[2], 3);
    th_class_list_close(&list);
    th_assert_error(th_class_list_open(at.classes, at.templates, NULL, &list, &err), TH_EUSAGE,
                    &err, "has 2 data sets");
    th_assert_error(th_class_list_open(at.classes, at.templates, "c", &list, &err), TH_EUSAGE, &err,
                    "no data set \"c\"");
}

static void what_is_no_list_is_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "", "classes.json" },
        { "[]", "no JSON object" },
        { "{\"classes\": [\"cat\"]}", "has no \"templates\"" },
        { "{\"templates\": [\"a {c}\"]}", "has no \"classes\"" },
        { "{\"classes\": [], \"templates\": [\"{c}\"]}", "0 classes" },
        { "{\"classes\": {\"0\": \"cat\"}, \"templates\": [\"{c}\"]}", "0 classes" },
        { "{\"classes\": [\"cat\", 3], \"templates\": [\"{c}\"]}", "class 1 is no text" },
        { "{\"classes\": [\"cat\"], \"templates\": []}", "has no template" },
        { "{\"classes\": [\"cat\"], \"templates\": \"{c}\"}", "has no template" },
        { "{\"classes\": [\"cat\"], \"templates\": [\"{c}\", null]}", "template 1" },
        { "{\"classes\": [\"cat\"], \"templates\": [\"{c}\", \"a cat\"]}", "no place for" },
        { "{\"classes\": [\"cat\", \"dog\"], \"templates\": {\"cat\": [\"x\"]}}",
          "\"dog\" has no" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        files         at = write_files(*state, bad[i].text, NULL);
        th_class_list list;
        th_err        err = { 0 };
        th_assert_error(th_class_list_open(at.classes, NULL, NULL, &list, &err), TH_EDATA, &err,
                        bad[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_file_holds_both, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(two_files_are_clip_benchmarks, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(what_is_no_list_is_refused, th_test_folder_open,
                                        th_test_folder_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
