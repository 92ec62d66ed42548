/* tests/unit/dataloader/make_tar.h - tars for tests, through libarchive's writer. */
#ifndef TH_TESTS_UNIT_DATALOADER_MAKE_TAR_H
#define TH_TESTS_UNIT_DATALOADER_MAKE_TAR_H

#include "tests/test.h"

#include <archive.h>
#include <archive_entry.h>

static inline struct archive *th_make_tar(const char *path, _Bool gzip)
{
    struct archive *tar = archive_write_new();

    assert_non_null(tar);
    assert_int_equal(archive_write_set_format_pax_restricted(tar), ARCHIVE_OK);
    if (gzip)
        assert_int_equal(archive_write_add_filter_gzip(tar), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(tar, path), ARCHIVE_OK);
    return tar;
}

static inline void th_tar_add(struct archive *tar, const char *name, const void *bytes, size_t size)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    // A warning: the C locale cannot show the name, which is written as it is.
    assert_true(archive_write_header(tar, entry) >= ARCHIVE_WARN);
    assert_int_equal(archive_write_data(tar, bytes, size), (la_ssize_t)size);
    archive_entry_free(entry);
}

static inline void th_tar_add_text(struct archive *tar, const char *name, const char *text)
{
    th_tar_add(tar, name, text, strlen(text));
}

static inline void th_tar_close(struct archive *tar)
{
    assert_int_equal(archive_write_free(tar), ARCHIVE_OK);
}

#endif
