#include "dataloader/source/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool th_is_picture_ending(const char *ending)
{
    static const char *const known[] = { "jpg", "jpeg", "png", "webp" };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(ending, known[i]) == 0)
            return true;
    return false;
}

static th_code read_file(int fd, size_t size, th_item *item, const char *where, th_err *err)
{
    th_code rc = TH_OK;

    item->image = malloc(size + 1);
    TH_CHECK(item->image, TH_EIO, "free some memory", "could not read a picture: out of memory");
    while (item->image_bytes < size) {
        ssize_t got = read(fd, (char *)item->image + item->image_bytes, size - item->image_bytes);
        if (got > 0)
            item->image_bytes += (size_t)got;
        else if (got == 0 || errno != EINTR) {
            th_item_refuse(item, "unreadable picture: %s: %s", where,
                           got == 0 ? "it became shorter" : strerror(errno));
            break;
        }
    }
out:
    return rc;
}

th_code th_item_read_picture(th_item *item, const char *folder, const char *name,
                             bool absolute_is_fine, const char *where, th_err *err)
{
    th_code     rc = TH_OK;
    char       *path = NULL;
    struct stat status;
    int         fd = -1;

    if (th_path_escapes(name, absolute_is_fine)) {
        th_item_refuse(item, "unsafe path: %s: %s", where,
                       name[0] == '/' ? "it starts at the root" : "\"..\" in it");
        return TH_OK;
    }
    int length =
        name[0] == '/' ? asprintf(&path, "%s", name) : asprintf(&path, "%s/%s", folder, name);
    TH_CHECK(length >= 0, TH_EIO, "free some memory", "could not read a picture: out of memory");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a named pipe must not stop us
    if (fd < 0 || fstat(fd, &status) != 0)
        th_item_refuse(item, "missing picture: %s: %s", where, strerror(errno));
    else if (!S_ISREG(status.st_mode) || status.st_size > TH_SOURCE_IMAGE_BYTES)
        th_item_refuse(item, "%s: %s: %" PRId64 " bytes",
                       S_ISREG(status.st_mode) ? "picture too large" : "not a file", where,
                       (int64_t)status.st_size);
    else
        TH_TRY(read_file(fd, (size_t)status.st_size, item, where, err));
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    free(path);
    return rc;
}

th_code th_folder_of(const char *path, char **out, th_err *err)
{
    th_code     rc = TH_OK;
    const char *slash = strrchr(path, '/');

    *out = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    TH_CHECK(*out, TH_EIO, "free some memory", "could not name a folder: out of memory");
out:
    return rc;
}
