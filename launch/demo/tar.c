#include "launch/demo/tar.h"

#include "base/file.h"
#include "base/memory.h"
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBER_MOST ((int64_t)16 << 20)

struct th_tar {
    struct archive *archive;
    char            path[PATH_MAX], tmp[PATH_MAX];
};

static const char fix_space[] = "check that the folder is writable and the disk has space";

static th_code join(char out[PATH_MAX], const char *folder, const char *name, const char *more,
                    th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(snprintf(out, PATH_MAX, "%s/%s%s", folder, name, more) < PATH_MAX, TH_EUSAGE,
             "use a shorter path", "the path of folder \"%.80s...\" is too long", folder);
out:
    return rc;
}

th_code th_tar_open(const char *folder, const char *name, th_tar **out, th_err *err)
{
    th_code rc = TH_OK;
    th_tar *tar = NULL;
    void   *memory;

    TH_TRY(th_alloc(1, sizeof *tar, "a tar", &memory, err));
    tar = memory;
    TH_TRY(join(tar->path, folder, name, "", err));
    TH_TRY(join(tar->tmp, folder, name, ".tmp", err));
    tar->archive = archive_write_new();
    TH_CHECK(tar->archive, TH_EIO, "free some memory", "no memory for a tar");
    TH_CHECK(archive_write_set_format_ustar(tar->archive) == ARCHIVE_OK &&
                 archive_write_open_filename(tar->archive, tar->tmp) == ARCHIVE_OK,
             TH_EIO, fix_space, "could not write \"%s\": %s", tar->tmp,
             archive_error_string(tar->archive));
    *out = tar;
out:
    if (rc != TH_OK)
        th_tar_close(tar);
    return rc;
}

th_code th_tar_add(th_tar *tar, const char *key, const char *ending, const void *bytes, size_t size,
                   th_err *err)
{
    th_code               rc = TH_OK;
    char                  name[100]; // what ustar holds without a prefix
    struct archive_entry *entry = archive_entry_new();

    TH_CHECK(entry, TH_EIO, "free some memory", "no memory for a tar");
    TH_CHECK(snprintf(name, sizeof name, "%s.%s", key, ending) < (int)sizeof name, TH_EUSAGE,
             "use a shorter key", "key \"%.80s...\" is too long", key);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    TH_CHECK(archive_write_header(tar->archive, entry) == ARCHIVE_OK &&
                 archive_write_data(tar->archive, bytes, size) == (la_ssize_t)size,
             TH_EIO, fix_space, "could not write \"%s\": %s", tar->tmp,
             archive_error_string(tar->archive));
out:
    archive_entry_free(entry); // accepts NULL
    return rc;
}

th_code th_tar_publish(th_tar *tar, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(archive_write_close(tar->archive) == ARCHIVE_OK, TH_EIO, fix_space,
             "could not write \"%s\": %s", tar->tmp, archive_error_string(tar->archive));
    TH_TRY(th_file_publish(AT_FDCWD, tar->tmp, tar->path, err));
    tar->tmp[0] = 0;
out:
    return rc;
}

void th_tar_close(th_tar *tar)
{
    if (!tar)
        return;
    if (tar->archive)
        (void)archive_write_free(tar->archive); // what matters was checked when it was published
    if (tar->tmp[0])
        (void)unlink(tar->tmp);
    free(tar);
}

// The key of a member "<key>.<ending>", or false.
static _Bool key_of(const char *name, const char *ending, char *out, size_t size)
{
    const char *dot = strchr(name, '.');

    if (!dot || strcmp(dot + 1, ending) != 0 || (size_t)(dot - name) >= size)
        return 0;
    memcpy(out, name, (size_t)(dot - name));
    out[dot - name] = 0;
    return 1;
}

static th_code read_member(struct archive *archive, struct archive_entry *entry, const char *key,
                           th_tar_member each, void *context, th_err *err)
{
    th_code rc = TH_OK;
    int64_t size = archive_entry_size(entry);
    char   *bytes = NULL;

    TH_CHECK(archive_entry_size_is_set(entry) && size >= 0 && size <= MEMBER_MOST, TH_EDATA,
             "make the tar anew", "member \"%s\" has %lld bytes", key, (long long)size);
    bytes = malloc((size_t)size + 1);
    TH_CHECK(bytes, TH_EIO, "free some memory", "no memory for %lld bytes", (long long)size);
    TH_CHECK(archive_read_data(archive, bytes, (size_t)size) == size, TH_EDATA, "make the tar anew",
             "member \"%s\" cannot be read: %s", key, archive_error_string(archive));
    bytes[size] = 0;
    TH_TRY(each(context, key, bytes, (size_t)size, err));
out:
    free(bytes);
    return rc;
}

th_code th_tar_read(const char *folder, const char *name, const char *ending, th_tar_member each,
                    void *context, th_err *err)
{
    th_code               rc = TH_OK;
    char                  path[PATH_MAX] = "", key[100];
    struct archive_entry *entry;
    struct archive       *archive = archive_read_new();
    int                   status;

    TH_CHECK(archive, TH_EIO, "free some memory", "no memory for a tar");
    TH_TRY(join(path, folder, name, "", err));
    TH_CHECK(archive_read_support_format_tar(archive) == ARCHIVE_OK &&
                 archive_read_open_filename(archive, path, 1 << 16) == ARCHIVE_OK,
             TH_EIO, "make it with the program emoji", "could not read \"%s\": %s", path,
             archive_error_string(archive));
    while ((status = archive_read_next_header(archive, &entry)) == ARCHIVE_OK) {
        const char *member = archive_entry_pathname(entry);

        if (member && key_of(member, ending, key, sizeof key))
            TH_TRY(read_member(archive, entry, key, each, context, err));
    }
    TH_CHECK(status == ARCHIVE_EOF, TH_EDATA, "make the tar anew", "\"%s\" is damaged: %s", path,
             archive_error_string(archive));
out:
    if (archive)
        (void)archive_read_free(archive);
    return rc;
}
