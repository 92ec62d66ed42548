/* tests/unit/dataloader/source_fixture.h - what is expected of a source, item by item. */
#ifndef TH_TESTS_UNIT_DATALOADER_SOURCE_FIXTURE_H
#define TH_TESTS_UNIT_DATALOADER_SOURCE_FIXTURE_H

#include "dataloader/source/source.h"
#include "tests/test.h"

#include <stdbool.h>
#include <sys/stat.h>

static inline th_source *open_source(const char *scheme, const char *folder, const char *name)
{
    char       spec[600];
    th_source *source = NULL;
    th_err     err = { 0 };

    assert_true(snprintf(spec, sizeof spec, "%s:%s/%s", scheme, folder, name) < (int)sizeof spec);
    th_assert_ok(th_source_open(spec, &source, &err), &err);
    return source;
}

// The next item is a sample of this key with these bytes as picture and text.
static inline void expect(th_source *source, const char *key, const char *image, const char *text)
{
    th_item item;
    bool    more = false;
    th_err  err = { 0 };

    th_assert_ok(th_source_next(source, &item, &more, &err), &err);
    assert_true(more);
    assert_string_equal(item.reason, "");
    assert_string_equal(item.key, key);
    assert_int_equal(item.image_bytes, strlen(image));
    assert_memory_equal(item.image, image, strlen(image));
    assert_int_equal(item.text_bytes, strlen(text));
    assert_memory_equal(item.text, text, strlen(text));
    th_item_free(&item);
}

// The next item is refused, for a reason that holds these words.
static inline void expect_refused(th_source *source, const char *key, const char *words)
{
    th_item item;
    bool    more = false;
    th_err  err = { 0 };

    th_assert_ok(th_source_next(source, &item, &more, &err), &err);
    assert_true(more);
    assert_string_equal(item.key, key);
    if (!strstr(item.reason, words))
        fail_msg("reason \"%s\" does not hold \"%s\"", item.reason, words);
    assert_true(item.source[0]);
    th_item_free(&item);
}

static inline void expect_end(th_source *source)
{
    th_item item;
    bool    more = true;
    th_err  err = { 0 };
    int64_t done, total;

    for (int i = 0; i < 2; i++) {
        th_assert_ok(th_source_next(source, &item, &more, &err), &err);
        assert_false(more);
    }
    th_source_progress(source, &done, &total);
    assert_int_equal(done, total);
    th_source_close(source);
}

static inline void write_text(const char *folder, const char *name, const char *text)
{
    char path[400];

    th_test_path(path, sizeof path, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

// A folder below the test's.
static inline void make_folder(const char *folder, const char *name)
{
    char path[400];

    th_test_path(path, sizeof path, folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static inline void write_bytes(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[400];

    th_test_path(path, sizeof path, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

// An opened source of a kind whose name stands in the test's folder, with options.
static inline th_source *open_kind(const char *kind, const char *folder, const char *name,
                                   th_source_options options)
{
    char       spec[600];
    th_source *source = NULL;
    th_err     err = { 0 };

    assert_true(snprintf(spec, sizeof spec, "%s:%s/%s", kind, folder, name) < (int)sizeof spec);
    th_assert_ok(th_source_open_with(spec, &options, &source, &err), &err);
    return source;
}

// A source that is not opened, with words of the error.
static inline void expect_no_source(const char *kind, const char *folder, const char *name,
                                    th_source_options options, th_code code, const char *words)
{
    char       spec[600];
    th_source *source = NULL;
    th_err     err = { 0 };

    assert_true(snprintf(spec, sizeof spec, "%s:%s/%s", kind, folder, name) < (int)sizeof spec);
    th_assert_error(th_source_open_with(spec, &options, &source, &err), code, &err, words);
}

#endif
