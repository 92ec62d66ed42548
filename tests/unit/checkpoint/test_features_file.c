// tests/unit/checkpoint/test_features_file.c - features with their names: the same content gives
// the same bytes, and what cannot be written leaves nothing behind. tests/fault/embed.sh reads the
// files.
#include "base/file.h"
#include "checkpoint/features_file.h"
#include "tests/test.h"

#include <limits.h>

static float             image[6] = { 1, 2, 3, 4, 5, 6 }, text[3] = { 7, 8, 9 };
static const char *const names[] = { "a.jpg", "\xc3\xa4/\"b\".png" };
static const char *const captions[] = { "line\nend" };
static const int64_t     image_of[] = { 1 };

static const th_features_content content = { .images = 2,
                                             .texts = 1,
                                             .d = 3,
                                             .image = image,
                                             .text = text,
                                             .image_names = names,
                                             .captions = captions,
                                             .image_of = image_of };

static void same_content_gives_the_same_bytes(void **state)
{
    static const char *const files[][2] = { { "x.h5", "x.h5" },
                                            { "x.safetensors", "x.safetensors" },
                                            { "x.safetensors", "x.names.json" } };
    th_err                   err = { 0 };

    for (int i = 0; i < 3; i++) {
        char   path[PATH_MAX], read[PATH_MAX], *bytes[2];
        size_t size[2];

        th_test_path(path, sizeof path, *state, files[i][0]);
        th_test_path(read, sizeof read, *state, files[i][1]);
        for (int k = 0; k < 2; k++) { // the second time over itself
            th_assert_ok(th_features_file_write(path, &content, &err), &err);
            th_assert_ok(th_file_read(read, 1 << 20, &bytes[k], &size[k], &err), &err);
        }
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(bytes[0], bytes[1], size[0]);
        free(bytes[0]);
        free(bytes[1]);
    }
}

static void names_stand_beside(void **state)
{
    static const char want[] = "{\"image_names\": [\"a.jpg\", \"\xc3\xa4/\\\"b\\\".png\"], "
                               "\"captions\": [\"line\\nend\"], \"image_of\": [1]}";
    char              path[PATH_MAX], *got;
    size_t            size;
    th_err            err = { 0 };

    th_test_path(path, sizeof path, *state, "y.safetensors");
    th_assert_ok(th_features_file_write(path, &content, &err), &err);
    th_test_path(path, sizeof path, *state, "y.names.json");
    th_assert_ok(th_file_read(path, 1 << 20, &got, &size, &err), &err);
    assert_string_equal(got, want);
    free(got);
}

static void what_json_cannot_hold_is_refused(void **state)
{
    static const char *const bad[] = { "a.jpg", "b\xff.jpg" };
    th_features_content      wrong = content;
    char                     path[PATH_MAX];
    th_err                   err = { 0 };

    wrong.image_names = bad;
    th_test_path(path, sizeof path, *state, "z.safetensors");
    th_assert_error(th_features_file_write(path, &wrong, &err), TH_EDATA, &err,
                    "name 1 of \"image_names\"");
    assert_false(th_path_exists(path));
    th_test_path(path, sizeof path, *state, "z.names.json");
    assert_false(th_path_exists(path));
}

static void places_are_refused_before_the_work(void **state)
{
    char   path[PATH_MAX];
    th_err err = { 0 };

    th_test_path(path, sizeof path, *state, "x.npy");
    th_assert_error(th_features_file_check(path, &err), TH_EUSAGE, &err, NULL);
    th_test_path(path, sizeof path, *state, ".h5x");
    th_assert_error(th_features_file_check(path, &err), TH_EUSAGE, &err, NULL);
    th_test_path(path, sizeof path, *state, "gone/x.h5");
    th_assert_error(th_features_file_check(path, &err), TH_EIO, &err, NULL);
    th_test_path(path, sizeof path, *state, "x.h5");
    th_assert_ok(th_features_file_check(path, &err), &err);
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)
    const struct CMUnitTest tests[] = { IN_FOLDER(same_content_gives_the_same_bytes),
                                        IN_FOLDER(names_stand_beside),
                                        IN_FOLDER(what_json_cannot_hold_is_refused),
                                        IN_FOLDER(places_are_refused_before_the_work) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
