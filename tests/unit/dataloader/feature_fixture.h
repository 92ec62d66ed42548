/* tests/unit/dataloader/feature_fixture.h - feature caches of known rows. */
#ifndef TH_TESTS_FEATURE_FIXTURE_H
#define TH_TESTS_FEATURE_FIXTURE_H

#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "dataloader/feature_cache.h"
#include "dataloader/feature_cache_segment.h"
#include "tests/test.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY   0x0123456789abcdefull
#define FLOAT 4  // bytes
#define WIDTH 24 // floats of a row in most tests

/* The row of (item, view) is a function of both, so whoever reads one knows what it must be. */
static inline void make_row(uint64_t item, uint32_t view, size_t row_bytes, void *out)
{
    uint32_t *words = out;

    for (size_t i = 0; i < row_bytes / FLOAT; i++)
        words[i] = (uint32_t)(item * 2654435761u + view * 40503u + i * 97u + 1);
}

static inline th_feature_cache_options usual(const char *base)
{
    return (th_feature_cache_options){ .base = base,
                                       .key = KEY,
                                       .about = { .tower = "image",
                                                  .cut = "pooled",
                                                  .row_bytes = WIDTH * FLOAT,
                                                  .pack_hash = 11,
                                                  .weights_hash = 12,
                                                  .description = "a test" },
                                       .writable = true };
}

static inline th_feature_cache *open_cache(const th_feature_cache_options *options)
{
    th_feature_cache *cache = NULL;
    th_err            err = { 0 };

    th_assert_ok(th_feature_cache_open(options, &cache, &err), &err);
    return cache;
}

static inline void put_rows(th_feature_cache *cache, size_t row_bytes, uint64_t first, uint64_t end)
{
    void *row = malloc(row_bytes);

    assert_non_null(row);
    for (uint64_t i = first; i < end; i++) {
        make_row(i, (uint32_t)(i % 3), row_bytes, row);
        th_feature_cache_put(cache, i, (uint32_t)(i % 3), row);
    }
    free(row);
}

/* How many of the rows that put_rows puts are there; -1 when one is wrong. */
static inline int64_t count_rows(th_feature_cache *cache, size_t row_bytes, uint64_t first,
                                 uint64_t end)
{
    unsigned char *row = malloc(row_bytes), *want = malloc(row_bytes);
    int64_t        count = 0;

    for (uint64_t i = first; i < end && row && want && count >= 0; i++) {
        make_row(i, (uint32_t)(i % 3), row_bytes, want);
        if (!th_feature_cache_get(cache, i, (uint32_t)(i % 3), row))
            continue;
        count = memcmp(row, want, row_bytes) == 0 ? count + 1 : -1;
    }
    free(row);
    free(want);
    return count;
}

#define COUNT(cache, first, end) count_rows((cache), WIDTH *FLOAT, (first), (end))

/* Makes a cache with rows [first, end) in it. */
static inline void fill(const th_feature_cache_options *options, uint64_t first, uint64_t end)
{
    th_feature_cache *cache = open_cache(options);

    put_rows(cache, options->about.row_bytes, first, end);
    th_feature_cache_close(cache);
}

static inline void cache_path(char *out, size_t size, const char *base, const char *name)
{
    assert_true(snprintf(out, size, "%s/0123456789abcdef/%s", base, name) < (int)size);
}

/* Finds the files whose name ends in `end`, and copies the path of the last one. */
static inline int find_files(const char *base, const char *end, char *out, size_t size)
{
    char path[4096];
    int  count = 0;

    cache_path(path, sizeof path, base, "");
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        size_t length = strlen(entry->d_name);
        if (length < strlen(end) || strcmp(entry->d_name + length - strlen(end), end) != 0)
            continue;
        count++;
        if (out)
            cache_path(out, size, base, entry->d_name);
    }
    assert_int_equal(closedir(stream), 0);
    return count;
}

/* Runs `work` in a child, which tells by its exit code; -1 for a signal. */
static inline int in_child(int (*work)(const th_feature_cache_options *),
                           const th_feature_cache_options *o)
{
    int   status = -1;
    pid_t child = fork();

    assert_return_code(child, 0);
    if (child == 0)
        _exit(work(o));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

#endif
