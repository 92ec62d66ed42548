#include "dataloader/packer_folder.h"

#include "base/file.h"
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
th_code th_new_folder_name(const char *path, th_new_folder *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  end = strlen(path);

    out->lock = -1;
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

// What stands behind the name is "-00007" and one of the endings.
static bool is_numbered(const char *file, const char *name)
{
    static const char *const endings[] = { ".lmdb", ".lmdb.tmp", ".lmdb.fill", ".unit",
                                           ".unit.tmp" };
    size_t                   size = strlen(name);

    if (strncmp(file, name, size) != 0 || file[size] != '-')
        return false;
    const char *at = file + size + 1;
    for (int i = 0; i < SHARD_DIGITS; i++, at++)
        if (!isdigit((unsigned char)*at))
            return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(at, endings[i]) == 0)
            return true;
    return false;
}

static bool is_ours(const char *file, const char *name)
{
    static const char *const known[] = {
        TH_TOKENIZER_MERGES, TH_TOKENIZER_JSON, TH_PACK_QUARANTINE, TH_PACK_DATASET, TH_PACK_BEGUN,
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size = strlen(known[i]);
        if (strncmp(file, known[i], size) == 0 &&
            (file[size] == 0 || strcmp(file + size, ".tmp") == 0))
            return true;
    }
    return strcmp(file, TH_PACK_STOP) == 0 || is_numbered(file, name);
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

static bool holds(const th_new_folder *folder, const char *file)
{
    return faccessat(folder->lock, file, F_OK, 0) == 0;
}

th_code th_new_folder_take(th_new_folder *folder, th_folder_state *out, th_err *err)
{
    th_code rc = TH_OK;
    int     found = 0;

    TH_TRY(th_folder_make(folder->path, err));
    folder->lock = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TH_CHECK(folder->lock >= 0, TH_EIO, fix, "could not open folder \"%s\": %s", folder->path,
             strerror(errno));
    // Some network file systems have no locks of folders: then there is none.
    TH_CHECK(flock(folder->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, TH_EUSAGE,
             "wait for it, or name another folder", "another process packs into \"%s\"",
             folder->path);
    bool pack = holds(folder, TH_PACK_DATASET), begun = holds(folder, TH_PACK_BEGUN);
    if (!pack || begun)
        TH_TRY(walk(folder, false, &found, err));
    *out = pack && begun ? TH_FOLDER_DONE
           : pack        ? TH_FOLDER_PACK
           : begun       ? TH_FOLDER_BEGUN
           : found > 0   ? TH_FOLDER_LEFT
                         : TH_FOLDER_EMPTY;
out:
    if (rc != TH_OK)
        th_new_folder_close(folder);
    return rc;
}

// A committed pack stops being one with its first file, so that one goes first.
th_code th_new_folder_clean(const th_new_folder *folder, th_err *err)
{
    th_code rc = TH_OK;
    int     found = 0, removed = 0;

    TH_TRY(walk(folder, false, &found, err));
    TH_CHECK(unlinkat(folder->lock, TH_PACK_DATASET, 0) == 0 || errno == ENOENT, TH_EIO, fix,
             "could not remove \"%s/" TH_PACK_DATASET "\": %s", folder->path, strerror(errno));
    TH_TRY(walk(folder, true, &removed, err));
out:
    return rc;
}

void th_new_folder_close(th_new_folder *folder)
{
    if (folder->lock >= 0)
        (void)close(folder->lock); // gives the lock up
    folder->lock = -1;
}

static bool number_path(const th_new_folder *folder, int i, const char *ending, char *out,
                        size_t size)
{
    return snprintf(out, size, "%s/%s-%0*d%s", folder->path, folder->name, SHARD_DIGITS, i,
                    ending) < (int)size;
}

bool th_new_folder_shard(const th_new_folder *folder, int i, char *out, size_t size)
{
    return number_path(folder, i, ".lmdb", out, size);
}

bool th_new_folder_unit(const th_new_folder *folder, int i, char *out, size_t size)
{
    return number_path(folder, i, ".unit", out, size);
}
