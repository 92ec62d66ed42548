#include "launch/scratch.h"

#include "base/log.h"
#include "comm/agree.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static th_code make(const char *name, char *out, size_t size, th_err *err)
{
    const char *base = getenv("TMPDIR");
    th_code     rc = TH_OK;

    base = base && *base ? base : "/tmp";
    TH_CHECK((size_t)snprintf(out, size, "%s/%s-XXXXXX", base, name) < size, TH_EUSAGE,
             "set TMPDIR to a shorter path", "path \"%s\" is too long", base);
    TH_CHECK(mkdtemp(out), TH_EIO, "set TMPDIR to a folder that can be written",
             "could not make a folder in \"%s\": %s", base, strerror(errno));
out:
    return rc;
}

th_code th_scratch_open(th_world *world, const char *name, char *out, size_t size, th_err *err)
{
    th_code rc = world->rank == 0 ? make(name, out, size, err) : TH_OK;

    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_world_broadcast(world, out, size, 0, err));
out:
    return rc;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    if (remove(path) != 0 && errno != ENOENT)
        th_warn("could not remove \"%s\": %s", path, strerror(errno));
    return 0;
}

void th_scratch_close(const char *folder)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); // what stays has been named
}
