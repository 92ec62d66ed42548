#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char fix_write[] = "check that the folder exists, is writable and has space";
static const char fix_read[] = "check that the file exists and is readable";

th_code th_write_all(int fd, const void *bytes, size_t size, const char *name, th_err *err)
{
    th_code     rc = TH_OK;
    const char *at = bytes;

    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        TH_CHECK(written >= 0, TH_EIO, fix_write, "could not write file \"%s\": %s", name,
                 strerror(errno));
        at += written;
        size -= (size_t)written;
    }
out:
    return rc;
}

// Flushes the directory of `path`, which is relative to `dir`.
static th_code flush_folder_at(int dir, const char *path, th_err *err)
{
    th_code     rc = TH_OK;
    char        folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    int         fd = -1;

    if (slash) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        TH_CHECK(length < sizeof folder, TH_EIO, "use a shorter path",
                 "could not flush directory of \"%s\": %s", path, strerror(ENAMETOOLONG));
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TH_CHECK(fd >= 0, TH_EIO, fix_write, "could not open directory of \"%s\": %s", path,
             strerror(errno));
    TH_CHECK(fsync(fd) == 0, TH_EIO, fix_write, "could not flush directory of \"%s\": %s", path,
             strerror(errno));
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

th_code th_flush_folder_of(const char *path, th_err *err)
{
    return flush_folder_at(AT_FDCWD, path, err);
}

// Readers see the old file or the new one, never half: rename() within a directory is atomic. The
// first fsync puts the bytes on disk before the name points at them; the second puts the name there
// before we report success, so a power cut cannot undo a "saved" line.
th_code th_file_publish(int dir, const char *tmp, const char *name, th_err *err)
{
    th_code rc = TH_OK;
    int     fd = openat(dir, tmp, O_RDONLY | O_CLOEXEC);

    TH_CHECK(fd >= 0, TH_EIO, fix_write, "could not open file \"%s\": %s", tmp, strerror(errno));
    TH_CHECK(fsync(fd) == 0, TH_EIO, fix_write, "could not flush file \"%s\": %s", tmp,
             strerror(errno));
    TH_CHECK(renameat(dir, tmp, dir, name) == 0, TH_EIO, fix_write,
             "could not rename file \"%s\" to \"%s\": %s", tmp, name, strerror(errno));
    TH_TRY(flush_folder_at(dir, name, err));
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc == TH_OK ? TH_OK : th_during(err, "publishing \"%s\"", name);
}

// A whole small file, written through "<path>.tmp" and published by flushing and renaming, or by
// renaming alone.
static th_code replace(const char *path, const void *bytes, size_t size, _Bool flushed, th_err *err)
{
    th_code rc = TH_OK;
    char    tmp[PATH_MAX] = "";
    int     fd = -1;

    TH_CHECK(snprintf(tmp, sizeof tmp, "%s.tmp", path) < (int)sizeof tmp, TH_EIO,
             "use a shorter path", "could not write file \"%s\": %s", path, strerror(ENAMETOOLONG));
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    TH_CHECK(fd >= 0, TH_EIO, fix_write, "could not make file \"%s\": %s", tmp, strerror(errno));
    TH_TRY(th_write_all(fd, bytes, size, tmp, err));
    int closed = close(fd); // where a network disk tells that it is full
    fd = -1;
    TH_CHECK(closed == 0, TH_EIO, fix_write, "could not close file \"%s\": %s", tmp,
             strerror(errno));
    if (flushed)
        TH_TRY(th_file_publish(AT_FDCWD, tmp, path, err));
    else
        TH_CHECK(rename(tmp, path) == 0, TH_EIO, fix_write,
                 "could not rename file \"%s\" to \"%s\": %s", tmp, path, strerror(errno));
out:
    if (fd >= 0)
        (void)close(fd);
    if (rc != TH_OK)
        (void)unlink(tmp); // gives the space back
    return rc;
}

th_code th_file_replace(const char *path, const void *bytes, size_t size, th_err *err)
{
    return replace(path, bytes, size, 1, err);
}

th_code th_file_replace_unflushed(const char *path, const void *bytes, size_t size, th_err *err)
{
    return replace(path, bytes, size, 0, err);
}

// Reads to the end, as far as the limit allows. The size that the file system tells is only a first
// guess for the buffer: files in /proc tell 0, and a file may grow while it is read.
static th_code read_to_end(int fd, const char *path, size_t limit_bytes, char **buffer,
                           size_t *out_size, th_err *err)
{
    th_code     rc = TH_OK;
    struct stat status;
    size_t      used = 0, room = 4096;

    TH_CHECK(fstat(fd, &status) == 0, TH_EIO, fix_read, "could not read file \"%s\": %s", path,
             strerror(errno));
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
        TH_CHECK((uintmax_t)status.st_size <= limit_bytes, TH_EDATA,
                 "check that it is the file you mean",
                 "file \"%s\" is too large: %jd bytes, at most %zu are read", path,
                 (intmax_t)status.st_size, limit_bytes);
        room = (size_t)status.st_size + 2; // one to find the end, one for the zero
    }
    for (;;) {
        char *larger = realloc(*buffer, room);
        TH_CHECK(larger, TH_EIO, "free some memory", "could not read file \"%s\": out of memory",
                 path);
        *buffer = larger;
        while (used + 1 < room) {
            ssize_t got = read(fd, larger + used, room - used - 1);
            if (got < 0 && errno == EINTR)
                continue;
            TH_CHECK(got >= 0, TH_EIO, fix_read, "could not read file \"%s\": %s", path,
                     strerror(errno));
            if (got == 0) {
                larger[used] = '\0';
                *out_size = used;
                goto out;
            }
            used += (size_t)got;
            TH_CHECK(used <= limit_bytes, TH_EDATA, "check that it is the file you mean",
                     "file \"%s\" is too large: at most %zu bytes are read", path, limit_bytes);
        }
        room *= 2; // no overflow: room is below twice the limit, and memory ends long before
    }
out:
    return rc;
}

th_code th_file_read(const char *path, size_t limit_bytes, char **out, size_t *out_size,
                     th_err *err)
{
    th_code rc = TH_OK;
    char   *buffer = NULL;
    int     fd = open(path, O_RDONLY | O_CLOEXEC);

    TH_CHECK(fd >= 0, TH_EIO, fix_read, "could not open file \"%s\": %s", path, strerror(errno));
    TH_TRY(read_to_end(fd, path, limit_bytes, &buffer, out_size, err));
    *out = buffer;
    buffer = NULL;
out:
    free(buffer);
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

th_code th_folder_make(const char *path, th_err *err)
{
    th_code     rc = TH_OK;
    char        part[PATH_MAX];
    struct stat status;
    size_t      length = strlen(path);

    TH_CHECK(length > 0 && length < sizeof part, TH_EIO, "check the path",
             "could not make folder \"%s\": %s", path, strerror(length ? ENAMETOOLONG : ENOENT));
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(part, path, end);
        part[end] = '\0';
        // Whatever mkdir says of a folder that is there (read-only disk, automounter) is no error.
        int reason = mkdir(part, 0755) == 0 ? 0 : errno;
        TH_CHECK(reason == 0 || (stat(part, &status) == 0 && S_ISDIR(status.st_mode)), TH_EIO,
                 "check the path, its permissions and the space left",
                 "could not make folder \"%s\": %s", part, strerror(reason));
    }
out:
    return rc;
}

_Bool th_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

_Bool th_path_join(char *out, size_t size, const char *folder, const char *name)
{
    size_t      length = strlen(folder);
    const char *slash = length > 0 && folder[length - 1] != '/' ? "/" : "";
    int         needed = snprintf(out, size, "%s%s%s", folder, slash, name);

    return needed >= 0 && (size_t)needed < size;
}

// flock, which is tried again for a fifth of a second: th_file_locked holds it for a moment.
static int take(int fd)
{
    struct timespec pause = { .tv_nsec = 20 * 1000000L };
    int             rc;

    for (int i = 0; (rc = flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK && i < 10; i++)
        (void)nanosleep(&pause, NULL); // shorter when a signal comes
    return rc;
}

static void read_owner(int fd, char *owner, size_t size)
{
    ssize_t got = pread(fd, owner, size - 1, 0);

    owner[got > 0 ? got : 0] = '\0';
}

// flock, not fcntl: an fcntl lock is lost as soon as anything in the process closes any descriptor
// of the file. Linux passes flock on to NFS servers too.
th_code th_file_lock(const char *path, const char *owner, int *out, th_err *err)
{
    th_code rc = TH_OK;
    char    holder[128] = "";
    int     fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    TH_CHECK(fd >= 0, TH_EIO, fix_write, "could not open lock file \"%s\": %s", path,
             strerror(errno));
    if (take(fd) != 0) {
        TH_CHECK(errno == EWOULDBLOCK, TH_EIO, "use a file system that has locks",
                 "could not lock file \"%s\": %s", path, strerror(errno));
        read_owner(fd, holder, sizeof holder);
        TH_FAIL(TH_EUSAGE, "wait for it, stop it, or use another run directory",
                "\"%s\" is locked by %s", path, holder[0] ? holder : "another process");
    }
    TH_CHECK(ftruncate(fd, 0) == 0, TH_EIO, fix_write, "could not write lock file \"%s\": %s", path,
             strerror(errno));
    TH_TRY(th_write_all(fd, owner, strlen(owner), path, err));
    *out = fd;
    fd = -1;
out:
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

// flock cannot be asked who holds a lock. A shared lock that is given up at once is the question.
th_code th_file_locked(const char *path, _Bool *out, char *owner, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    int     fd = open(path, O_RDONLY | O_CLOEXEC);

    *out = 0;
    *owner = '\0';
    if (fd < 0 && errno == ENOENT)
        return TH_OK;
    TH_CHECK(fd >= 0, TH_EIO, fix_read, "could not open lock file \"%s\": %s", path,
             strerror(errno));
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        TH_CHECK(errno == EWOULDBLOCK, TH_EIO, "use a file system that has locks",
                 "could not look at the lock of file \"%s\": %s", path, strerror(errno));
        *out = 1;
        read_owner(fd, owner, size);
    }
out:
    if (fd >= 0)
        (void)close(fd); // gives up what it got
    return rc;
}
