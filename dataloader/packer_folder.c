#include "dataloader/packer_folder.h"

#include "base/file.h"
#include "dataloader/pack.h"
#include "dataloader/packer_spool.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SHARD_DIGITS 5

static const char fix[] = "name a folder that does not exist yet, or remove this one";

// The last part of the path, without slashes behind it.
static th_code find_name(const char *path, th_new_folder *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  end = strlen(path);

    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t size = end - start;
    TH_CHECK(end < sizeof out->path, TH_EUSAGE, fix, "path of pack \"%.100s...\" is too long",
             path);
    TH_CHECK(size > 0 && path[start] != '.' && !memmem(path + start, size, "..", 2) &&
                 size + sizeof "-00000.lmdb" <= sizeof out->name,
             TH_EUSAGE, "name a folder of up to 52 letters, without a dot in front",
             "cannot name shards after folder \"%s\"", path);
    (void)snprintf(out->path, sizeof out->path, "%.*s", (int)end, path);
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)size, path + start);
out:
    return rc;
}

static bool is_shard(const char *file, const char *name)
{
    size_t size = strlen(name);

    if (strncmp(file, name, size) != 0 || file[size] != '-')
        return false;
    const char *at = file + size + 1;
    for (int i = 0; i < SHARD_DIGITS; i++, at++)
        if (!isdigit((unsigned char)*at))
            return false;
    return strcmp(at, ".lmdb") == 0 || strcmp(at, ".lmdb.tmp") == 0 ||
           strcmp(at, ".lmdb.fill") == 0;
}

static bool is_ours(const char *file, const char *name)
{
    static const char *const known[] = {
        TH_TOKENIZER_MERGES,      TH_TOKENIZER_MERGES ".tmp", TH_TOKENIZER_JSON,
        TH_TOKENIZER_JSON ".tmp", TH_PACK_QUARANTINE,         TH_PACK_QUARANTINE ".tmp",
        TH_PACK_DATASET,          TH_PACK_DATASET ".tmp",     TH_SPOOL_NAME,
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(file, known[i]) == 0)
            return true;
    return is_shard(file, name);
}

// Walks the folder: `remove` false checks that all files are ours and counts them, true removes
// them.
static th_code walk(const th_new_folder *folder, bool remove, int *out_count, th_err *err)
{
    th_code        rc = TH_OK;
    struct dirent *entry;
    DIR           *list = opendir(folder->path);

    TH_CHECK(list, TH_EIO, fix, "could not read folder \"%s\": %s", folder->path, strerror(errno));
    for (errno = 0; (entry = readdir(list)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        TH_CHECK(is_ours(entry->d_name, folder->name), TH_EUSAGE, fix,
                 "folder \"%s\" holds \"%s\", which is no part of a pack", folder->path,
                 entry->d_name);
        ++*out_count;
        TH_CHECK(!remove || unlinkat(dirfd(list), entry->d_name, 0) == 0, TH_EIO, fix,
                 "could not remove \"%s/%s\": %s", folder->path, entry->d_name, strerror(errno));
    }
    TH_CHECK(errno == 0, TH_EIO, fix, "could not read folder \"%s\": %s", folder->path,
             strerror(errno));
out:
    if (list)
        (void)closedir(list);
    return rc;
}

// A committed pack stops being one with its first file, so that one goes first.
static th_code clean(const th_new_folder *folder, bool rebuild, bool *out_left, th_err *err)
{
    th_code rc = TH_OK;
    char    dataset[PATH_MAX];
    int     found = 0, removed = 0;

    TH_CHECK(th_path_join(dataset, sizeof dataset, folder->path, TH_PACK_DATASET), TH_EUSAGE, fix,
             "path of pack \"%.100s...\" is too long", folder->path);
    TH_CHECK(rebuild || !th_path_exists(dataset), TH_EUSAGE, fix, "\"%s\" is a pack already",
             folder->path);
    TH_TRY(walk(folder, false, &found, err));
    if (found > 0) {
        TH_CHECK(unlink(dataset) == 0 || errno == ENOENT, TH_EIO, fix,
                 "could not remove \"%s\": %s", dataset, strerror(errno));
        TH_TRY(walk(folder, true, &removed, err));
    }
    if (out_left)
        *out_left = found > 0;
out:
    return rc;
}

th_code th_new_folder_open(const char *path, bool rebuild, th_new_folder *out, bool *out_left,
                           th_err *err)
{
    th_code rc = TH_OK;

    out->lock = -1;
    TH_TRY(find_name(path, out, err));
    TH_TRY(th_folder_make(out->path, err));
    out->lock = open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TH_CHECK(out->lock >= 0, TH_EIO, fix, "could not open folder \"%s\": %s", out->path,
             strerror(errno));
    // Some network file systems have no locks of folders: then there is none.
    TH_CHECK(flock(out->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, TH_EUSAGE,
             "wait for it, or name another folder", "another process packs into \"%s\"", out->path);
    TH_TRY(clean(out, rebuild, out_left, err));
out:
    if (rc != TH_OK)
        th_new_folder_close(out);
    return rc;
}

void th_new_folder_close(th_new_folder *folder)
{
    if (folder->lock >= 0)
        (void)close(folder->lock); // gives the lock up
    folder->lock = -1;
}

bool th_new_folder_shard(const th_new_folder *folder, int i, char *out, size_t size)
{
    return snprintf(out, size, "%s/%s-%0*d.lmdb", folder->path, folder->name, SHARD_DIGITS, i) <
           (int)size;
}
