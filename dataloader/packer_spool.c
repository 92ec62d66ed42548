#include "dataloader/packer_spool.h"

#include "base/memory.h"
#include "dataloader/record.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)

static const char fix[] =
    "make room on the disk of the new pack: it needs about three times its size";

struct th_spool {
    FILE   *file; // entries: u64 size in this machine's order, then the bytes
    int64_t bytes, left;
};

th_code th_spool_open(const char *folder, th_spool **out, th_err *err)
{
    th_code   rc = TH_OK;
    char      path[PATH_MAX];
    void     *memory;
    th_spool *spool = NULL;

    TH_TRY(th_alloc(1, sizeof *spool, "a spool", &memory, err));
    spool = memory;
    TH_CHECK(snprintf(path, sizeof path, "%s/" TH_SPOOL_NAME, folder) < (int)sizeof path, TH_EIO,
             "use a shorter path", "path of folder \"%.100s...\" is too long", folder);
    spool->file = fopen(path, "w+e");
    TH_CHECK(spool->file, TH_EIO, fix, "could not create \"%s\": %s", path, strerror(errno));
    TH_CHECK(unlink(path) == 0, TH_EIO, fix, "could not unlink \"%s\": %s", path, strerror(errno));
    (void)setvbuf(spool->file, NULL, _IOFBF, BUFFER_BYTES); // slower without, and no more
    *out = spool;
    spool = NULL;
out:
    th_spool_close(spool);
    return rc;
}

void th_spool_close(th_spool *spool)
{
    if (spool && spool->file)
        (void)fclose(spool->file); // has no name: nothing left to lose
    free(spool);
}

th_code th_spool_add(th_spool *spool, const void *bytes, size_t size, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t count = size;

    TH_CHECK(fwrite(&count, sizeof count, 1, spool->file) == 1 &&
                 fwrite(bytes, 1, size, spool->file) == size,
             TH_EIO, fix, "could not write the spool: %s", strerror(errno));
    spool->bytes += (int64_t)(size + sizeof count);
out:
    return rc;
}

th_code th_spool_rewind(th_spool *spool, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(fflush(spool->file) == 0, TH_EIO, fix, "could not write the spool: %s",
             strerror(errno));
    TH_CHECK(fseeko(spool->file, 0, SEEK_SET) == 0, TH_EIO, fix, "could not rewind the spool: %s",
             strerror(errno));
    spool->left = spool->bytes;
out:
    return rc;
}

th_code th_spool_next(th_spool *spool, void **buffer, size_t *room, size_t *out_size,
                      bool *out_more, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t count;

    *out_more = spool->left > 0;
    if (!*out_more)
        return TH_OK;
    TH_CHECK(fread(&count, sizeof count, 1, spool->file) == 1 && count <= TH_RECORD_BYTES, TH_EIO,
             "check the health of the disk", "could not read the spool: %s",
             ferror(spool->file) ? strerror(errno) : "it is damaged");
    if (count > *room) {
        void *grown = realloc(*buffer, count);
        TH_CHECK(grown, TH_EIO, "free some memory", "could not read the spool: out of memory");
        *buffer = grown;
        *room = count;
    }
    TH_CHECK(fread(*buffer, 1, count, spool->file) == count, TH_EIO, "check the health of the disk",
             "could not read the spool: %s",
             ferror(spool->file) ? strerror(errno) : "it ends too early");
    spool->left -= (int64_t)(count + sizeof count);
    *out_size = count;
out:
    return rc;
}

int64_t th_spool_bytes(const th_spool *spool)
{
    return spool->bytes;
}
