#include "checkpoint/prune.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoint/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static th_code remove_file(const char *folder, const char *name, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX];

    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "the path of \"%s\" is too long", name);
    TH_CHECK(unlink(path) == 0 || errno == ENOENT, TH_EIO, "check that the folder is writable",
             "could not remove \"%s\": %s", path, strerror(errno));
out:
    return rc;
}

// True for a data file that may belong to a generation: the manifest of its step names it, or
// cannot be read and so does not tell.
static bool is_spoken_of(const char *folder, const char *name, int64_t step)
{
    th_manifest manifest = { 0 };
    char        path[PATH_MAX], manifest_name[TH_MANIFEST_NAME];

    th_manifest_name(step, manifest_name);
    if (th_path_join(path, sizeof path, folder, manifest_name) && !th_path_exists(path))
        return false;
    bool spoken = th_manifest_read(folder, step, &manifest, NULL) != TH_OK ||
                  strcmp(manifest.generation.name, name) == 0;
    th_manifest_done(&manifest);
    return spoken;
}

static bool is_leftover(const char *folder, const char *name)
{
    int64_t step;

    if (th_name_step(name, ".h5.tmp", &step) || th_name_step(name, "-2.h5.tmp", &step) ||
        th_name_step(name, ".json.tmp", &step))
        return true;
    return (th_name_step(name, ".h5", &step) || th_name_step(name, "-2.h5", &step)) &&
           !is_spoken_of(folder, name, step);
}

th_code th_prune_leftovers(const char *folder, th_err *err)
{
    th_code rc = TH_OK;
    DIR    *directory = opendir(folder);

    TH_CHECK(directory, TH_EIO, "check that the folder is readable",
             "could not open folder \"%s\": %s", folder, strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        TH_CHECK(entry || errno == 0, TH_EIO, "check that the disk works",
                 "could not read folder \"%s\": %s", folder, strerror(errno));
        if (!entry)
            break;
        if (!is_leftover(folder, entry->d_name))
            continue;
        TH_TRY(remove_file(folder, entry->d_name, err));
        th_info("removed %s: it was never committed", entry->d_name);
    }
out:
    if (directory)
        (void)closedir(directory); // opened for reading: nothing left to lose
    return rc;
}

// The manifest goes first and for good: without it the data file is a leftover, never half of a
// generation.
static th_code remove_generation(const char *folder, const th_generation *generation, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], name[TH_MANIFEST_NAME];

    th_manifest_name(generation->step, name);
    TH_TRY(remove_file(folder, name, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "the path of \"%s\" is too long", name);
    TH_TRY(th_flush_folder_of(path, err));
    for (int second = 0; second < 2; second++) {
        th_data_name(generation->step, second, name);
        TH_TRY(remove_file(folder, name, err));
    }
out:
    return rc;
}

th_code th_prune_generations(const char *folder, int64_t step, int64_t keep, th_err *err)
{
    th_code        rc = TH_OK;
    th_generation *rows = NULL;
    int            count = 0;
    int64_t        kept = 0;

    TH_TRY(th_generations_list(folder, &rows, &count, err));
    for (int i = 0; i < count; i++) {
        const th_generation *g = &rows[i];
        if (g->step <= step && kept < keep) {
            kept += g->error[0] == '\0';
            continue;
        }
        TH_TRY(remove_generation(folder, g, err));
        if (g->step > step)
            th_warn("removed %s: the run went back before it, and is at step %" PRId64, g->name,
                    step);
    }
out:
    free(rows);
    return rc;
}
