#include "dataloader/feature_cache_folder.h"

#include "dataloader/feature_cache_about.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_END ".tmp"
#define TRIES    16 // a cleaner has to come by at one very moment for each to fail

static const char fix_folder[] = "check that the cache folder exists, is writable and has space";

static th_feature_file_kind kind_of(const char *name)
{
    size_t length = strlen(name);

    if (length >= TH_SEGMENT_NAME)
        return TH_FILE_OTHER;
    if (strcmp(name, TH_FEATURE_ABOUT) == 0)
        return TH_FILE_ABOUT;
    if (length > strlen(TEMP_END) && strcmp(name + length - strlen(TEMP_END), TEMP_END) == 0)
        return TH_FILE_TEMP;
    return th_segment_is_name(name) ? TH_FILE_SEGMENT : TH_FILE_OTHER;
}

// A stream of its own: fdopendir takes the descriptor and its position.
static th_code open_stream(int dir, DIR **out, th_err *err)
{
    th_code rc = TH_OK;
    int     fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *out = fd >= 0 ? fdopendir(fd) : NULL;
    int reason = errno;
    if (!*out && fd >= 0)
        (void)close(fd);
    TH_CHECK(*out, TH_EIO, fix_folder, "could not list a cache folder: %s", strerror(reason));
out:
    return rc;
}

static th_code append(th_feature_file **list, int *count, int *room, const char *name, th_err *err)
{
    th_code rc = TH_OK;

    if (*count == *room) {
        int              more = *room ? *room * 2 : 64; // a folder of 2^30 files ends memory first
        th_feature_file *larger = realloc(*list, (size_t)more * sizeof *larger);
        TH_CHECK(larger, TH_EIO, "free some memory",
                 "could not list a cache folder: out of memory");
        *list = larger;
        *room = more;
    }
    th_feature_file *file = &(*list)[(*count)++];
    *file = (th_feature_file){ .kind = kind_of(name) };
    memcpy(file->name, name, strnlen(name, sizeof file->name - 1));
out:
    return rc;
}

th_code th_feature_files_list(int dir, th_feature_file **out, int *out_count, uint64_t *out_bytes,
                              th_err *err)
{
    th_code          rc = TH_OK;
    th_feature_file *list = NULL;
    int              count = 0, room = 0;
    uint64_t         bytes = 0;
    DIR             *stream = NULL;
    struct stat      status;

    TH_TRY(open_stream(dir, &stream, err));
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        TH_CHECK(entry || errno == 0, TH_EIO, fix_folder, "could not list a cache folder: %s",
                 strerror(errno));
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        // A file may be gone by now: a temporary one that got its name.
        if (out_bytes && fstatat(dir, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_size;
        TH_TRY(append(&list, &count, &room, entry->d_name, err));
    }
    *out = list;
    list = NULL;
    *out_count = count;
    if (out_bytes)
        *out_bytes = bytes;
out:
    if (stream)
        (void)closedir(stream);
    free(list);
    return rc;
}

static int lock_file(int fd, int how)
{
    int result;

    do
        result = flock(fd, how);
    while (result != 0 && errno == EINTR);
    return result;
}

// Between making a file and locking it a cleaner may remove it: then there is no link to it.
th_code th_temp_open(const char *path, const char *prefix, char name[TH_TEMP_NAME], int *out_fd,
                     th_err *err)
{
    th_code     rc = TH_OK;
    char        file[PATH_MAX];
    struct stat status;
    int         fd = -1;

    for (int i = 0; i < TRIES; i++) {
        int length = snprintf(file, sizeof file, "%s/%s-XXXXXX" TEMP_END, path, prefix);
        TH_CHECK(length < (int)sizeof file && strlen(prefix) + 12 <= TH_TEMP_NAME, TH_EIO,
                 "use a shorter path", "path of \"%.100s...\" is too long", path);
        fd = mkostemps(file, (int)strlen(TEMP_END), O_CLOEXEC);
        TH_CHECK(fd >= 0, TH_EIO, fix_folder, "could not make a file in \"%s\": %s", path,
                 strerror(errno));
        // Without locks on this disk no cleaner gets one either, and all leftovers stay.
        (void)lock_file(fd, LOCK_EX);
        TH_CHECK(fchmod(fd, 0644) == 0 && fstat(fd, &status) == 0, TH_EIO, fix_folder,
                 "could not make file \"%s\": %s", file, strerror(errno));
        if (status.st_nlink > 0) {
            (void)snprintf(name, TH_TEMP_NAME, "%s", file + strlen(path) + 1);
            *out_fd = fd;
            fd = -1;
            goto out;
        }
        (void)close(fd); // holds nothing
        fd = -1;
    }
    TH_FAIL(TH_EIO, fix_folder, "could not keep a file in \"%s\": others remove it", path);
out:
    if (fd >= 0) {
        (void)unlink(file);
        (void)close(fd);
    }
    return rc;
}

void th_temp_clean(int dir, const th_feature_file *files, int count)
{
    for (int i = 0; i < count; i++) {
        if (files[i].kind != TH_FILE_TEMP)
            continue;
        // To write, as network disks lock nothing else exclusively.
        int fd = openat(dir, files[i].name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (lock_file(fd, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(dir, files[i].name, 0);
        (void)close(fd);
    }
}
