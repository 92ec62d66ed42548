#include "dataloader/source/walk.h"

#include "base/file.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

th_code th_walk_open(const char *folder, FTS **out, th_err *err)
{
    char   *roots[] = { (char *)folder, NULL }; // fts_open does not write to them
    th_code rc = TH_OK;

    TH_CHECK(th_path_exists(folder), TH_EUSAGE, "check the path", "folder \"%s\" does not exist",
             folder);
    *out = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    TH_CHECK(*out, TH_EIO, "check the file system", "could not open folder \"%s\": %s", folder,
             strerror(errno));
out:
    return rc;
}

th_code th_walk_next(FTS *walk, const FTSENT **out, th_err *err)
{
    FTSENT *entry = NULL;
    bool    hidden = true;
    th_code rc = TH_OK;

    while (hidden) {
        errno = 0;
        entry = fts_read(walk);
        TH_CHECK(entry || errno == 0, TH_EIO, "check the file system",
                 "could not go through a folder: %s", strerror(errno));
        hidden = entry && entry->fts_name[0] == '.' && entry->fts_level > 0;
        if (hidden)
            (void)fts_set(walk, entry, FTS_SKIP); // fails for an unknown command only
    }
    *out = entry;
out:
    return rc;
}

const char *th_walk_key(const FTSENT *entry, const char *folder)
{
    const char *key = entry->fts_path + strlen(folder);

    while (*key == '/')
        key++;
    return key;
}
