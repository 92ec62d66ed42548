// The folder of caches: what `thaw cache ls` and `rm` stand on.
#include "base/file.h"
#include "base/hash.h"
#include "dataloader/feature_cache.h"
#include "dataloader/feature_cache_about.h"
#include "dataloader/feature_cache_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

static th_code path_of(const char *base, uint64_t key, char path[PATH_MAX], th_err *err)
{
    th_code rc = TH_OK;
    char    name[TH_HASH_TEXT];

    th_hash_print(key, name);
    TH_CHECK(th_path_join(path, PATH_MAX, base, name), TH_EIO, "use a shorter path",
             "path of cache folder \"%.100s...\" is too long", base);
out:
    return rc;
}

// Counts the rows of a segment, and their views. One that is not whole is left out.
static void count_rows(int dir, const char *name, th_feature_cache_entry *out)
{
    th_segment_head head;
    th_feature_key *keys = NULL;
    int             fd;

    if (th_segment_open(dir, name, &head, &fd, NULL) != TH_OK)
        return;
    if (th_segment_keys(fd, name, &head, &keys, NULL) == TH_OK) {
        out->segments++;
        out->rows += (int64_t)head.rows;
        for (uint64_t i = 0; i < head.rows; i++)
            if ((int64_t)keys[i].view >= out->views)
                out->views = (int64_t)keys[i].view + 1;
    }
    free(keys);
    (void)close(fd); // opened for reading
}

static th_code describe(const char *base, uint64_t key, th_feature_cache_entry *out, th_err *err)
{
    th_code          rc = TH_OK;
    char             path[PATH_MAX];
    th_feature_file *files = NULL;
    int              count = 0, dir = -1;
    uint64_t         bytes = 0;
    th_err           why = { 0 };

    *out = (th_feature_cache_entry){ .key = key };
    TH_TRY(path_of(base, key, path, err));
    dir = open(path, FOLDER);
    TH_CHECK(dir >= 0, TH_EIO, "check that it is a folder that you may read",
             "could not open cache \"%s\": %s", path, strerror(errno));
    if (th_feature_about_read(path, key, &out->about, &why) != TH_OK)
        (void)snprintf(out->wrong, sizeof out->wrong, "%s", why.what);
    TH_TRY(th_feature_files_list(dir, &files, &count, &bytes, err));
    out->bytes = (int64_t)bytes;
    for (int i = 0; i < count; i++)
        if (files[i].kind == TH_FILE_SEGMENT)
            count_rows(dir, files[i].name, out);
out:
    free(files);
    if (dir >= 0)
        (void)close(dir);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    uint64_t first = ((const th_feature_cache_entry *)a)->key;
    uint64_t second = ((const th_feature_cache_entry *)b)->key;

    return (first > second) - (first < second);
}

static th_code append(const char *base, uint64_t key, th_feature_cache_entry **list, int *count,
                      th_err *err)
{
    th_code                 rc = TH_OK;
    th_feature_cache_entry *larger = realloc(*list, ((size_t)*count + 1) * sizeof *larger);
    th_err                  why = { 0 };

    TH_CHECK(larger, TH_EIO, "free some memory", "could not list \"%s\": out of memory", base);
    *list = larger;
    // One that cannot be looked at is listed too, with the reason.
    th_feature_cache_entry *entry = &larger[(*count)++];
    if (describe(base, key, entry, &why) != TH_OK)
        (void)snprintf(entry->wrong, sizeof entry->wrong, "%s", why.what);
out:
    return rc;
}

th_code th_feature_cache_list(const char *base, th_feature_cache_entry **out, int *out_count,
                              th_err *err)
{
    th_code                 rc = TH_OK;
    th_feature_cache_entry *list = NULL;
    int                     count = 0;
    DIR                    *stream = opendir(base);

    TH_CHECK(stream || errno == ENOENT, TH_EIO, "check that it is a folder that you may read",
             "could not list \"%s\": %s", base, strerror(errno));
    while (stream) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        uint64_t       key;
        TH_CHECK(entry || errno == 0, TH_EIO, "check the health of the disk",
                 "could not list \"%s\": %s", base, strerror(errno));
        if (!entry)
            break;
        if (th_hash_parse(entry->d_name, &key))
            TH_TRY(append(base, key, &list, &count, err));
    }
    if (count > 0)
        qsort(list, (size_t)count, sizeof *list, by_key);
    *out = list;
    list = NULL;
    *out_count = count;
out:
    if (stream)
        (void)closedir(stream);
    free(list);
    return rc;
}

static th_code remove_files(int dir, const char *path, const th_feature_file *files, int count,
                            bool about, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < count; i++) {
        if (files[i].kind == TH_FILE_OTHER || (files[i].kind == TH_FILE_ABOUT) != about)
            continue;
        TH_CHECK(unlinkat(dir, files[i].name, 0) == 0 || errno == ENOENT, TH_EIO,
                 "check that the folder is yours", "could not remove \"%s/%s\": %s", path,
                 files[i].name, strerror(errno));
    }
out:
    return rc;
}

// about.json last: when this is broken off, what is left is a cache with fewer rows.
th_code th_feature_cache_remove(const char *base, uint64_t key, th_err *err)
{
    th_code          rc = TH_OK;
    char             path[PATH_MAX];
    th_feature_file *files = NULL;
    int              count = 0, dir = -1;

    TH_TRY(path_of(base, key, path, err));
    dir = open(path, FOLDER);
    TH_CHECK(dir >= 0 || errno != ENOENT, TH_EUSAGE, "thaw cache ls shows the keys",
             "there is no cache \"%s\"", path);
    TH_CHECK(dir >= 0, TH_EIO, "check that it is a folder that you may read",
             "could not open cache \"%s\": %s", path, strerror(errno));
    TH_TRY(th_feature_files_list(dir, &files, &count, NULL, err));
    TH_TRY(remove_files(dir, path, files, count, false, err));
    TH_TRY(remove_files(dir, path, files, count, true, err));
    TH_CHECK(rmdir(path) == 0, TH_EIO, "look at what else is in the folder, and remove it yourself",
             "could not remove folder \"%s\": %s", path, strerror(errno));
    TH_TRY(th_flush_folder_of(path, err));
out:
    free(files);
    if (dir >= 0)
        (void)close(dir);
    return rc;
}
