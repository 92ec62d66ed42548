#include "checkpoint/weights_file.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "checkpoint/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK       "\nthaw weights 1 "
#define LINE_BYTES (sizeof MARK - 1 + TH_HASH_TEXT) // a line feed stands where the zero would

static const char fix_disk[] = "check that the disk has space and works";

// The hash goes behind the last byte of the file, which is then cut to the space it needs.
static th_code append_line(const char *path, th_err *err)
{
    char     line[LINE_BYTES + 1], hash_text[TH_HASH_TEXT];
    uint64_t hash, bytes;
    int      fd = -1;
    th_code  rc = TH_OK;

    TH_TRY(th_hash_file(path, &hash, &bytes, err));
    th_hash_print(hash, hash_text);
    (void)snprintf(line, sizeof line, MARK "%s\n", hash_text);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    TH_CHECK(fd >= 0, TH_EIO, fix_disk, "could not open \"%s\": %s", path, strerror(errno));
    TH_TRY(th_write_all(fd, line, LINE_BYTES, path, err));
    // What was reserved beyond the end is given back.
    TH_CHECK(ftruncate(fd, (off_t)(bytes + LINE_BYTES)) == 0, TH_EIO, fix_disk,
             "could not set the size of \"%s\": %s", path, strerror(errno));
out:
    if (fd >= 0 && close(fd) != 0 && rc == TH_OK)
        rc = th_fail(err, TH_EIO, fix_disk, __FILE__, __LINE__, "could not close \"%s\": %s", path,
                     strerror(errno));
    return rc;
}

th_code th_weights_file_write(const char *path, const th_snapshot *snapshot, th_err *err)
{
    char            tmp[PATH_MAX];
    th_tensor_hash *hashes = NULL;
    int64_t         bytes;
    int             count;
    bool            made = false;
    th_code         rc = TH_OK;

    TH_CHECK((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) < sizeof tmp, TH_EUSAGE,
             "use a shorter path", "the path \"%s\" is too long", path);
    TH_TRY(th_layout_size(snapshot, &bytes, err));
    TH_TRY(th_alloc((size_t)snapshot->parameter_count * TH_PARTS, sizeof *hashes, "hashes",
                    (void **)&hashes, err));
    made = true;
    TH_TRY(th_layout_write(tmp, snapshot, bytes, hashes, &count, err));
    TH_TRY(append_line(tmp, err));
    TH_TRY(th_file_publish(AT_FDCWD, tmp, path, err));
    made = false;
out:
    if (made)
        (void)unlink(tmp); // gives the space back
    free(hashes);
    return rc == TH_OK ? TH_OK : th_during(err, "writing \"%s\"", path);
}

// The hash that the last line tells, and how many bytes stand before it.
static th_code read_line(const char *path, uint64_t *out_hash, uint64_t *out_bytes, th_err *err)
{
    char    line[LINE_BYTES] = "";
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    th_code rc = TH_OK;

    TH_CHECK(fd >= 0, TH_EIO, "check the path", "could not open \"%s\": %s", path, strerror(errno));
    off_t at = lseek(fd, 0, SEEK_END) - (off_t)LINE_BYTES;
    bool  whole = at >= 0 && pread(fd, line, LINE_BYTES, at) == (ssize_t)LINE_BYTES &&
                 line[LINE_BYTES - 1] == '\n';
    line[LINE_BYTES - 1] = '\0';
    TH_CHECK(whole && memcmp(line, MARK, sizeof MARK - 1) == 0 &&
                 th_hash_parse(line + sizeof MARK - 1, out_hash),
             TH_EDATA, "name a checkpoint of thaw, or a file that thaw import wrote",
             "\"%s\" has no hash at its end: it is no weights file, or cut", path);
    *out_bytes = (uint64_t)at;
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

th_code th_weights_file_check(const char *path, th_err *err)
{
    uint64_t wants = 0, hash, bytes = 0;
    th_code  rc = TH_OK;

    TH_TRY(read_line(path, &wants, &bytes, err));
    TH_TRY(th_hash_file_head(path, bytes, &hash, err));
    TH_CHECK(hash == wants, TH_EDATA, "use a copy that is whole, or import again",
             "\"%s\" is damaged: its hash differs", path);
out:
    return rc;
}
