#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int  file = -1;
static char path[32];
static char folder[PATH_MAX]; // "" until the first call

const char *th_fuzz_file(const uint8_t *bytes, size_t size)
{
    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        th_fuzz_claim(file >= 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    th_fuzz_claim(ftruncate(file, 0) == 0 && pwrite(file, bytes, size, 0) == (ssize_t)size);
    return path;
}

int th_fuzz_file_fd(void)
{
    return file;
}

static int remove_entry(const char *entry, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(entry);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(void)
{
    const char *temporary = getenv("TMPDIR");

    if (access("/dev/shm", W_OK) == 0)
        temporary = "/dev/shm";
    (void)snprintf(folder, sizeof folder, "%s/thaw-fuzz-XXXXXX", temporary ? temporary : "/tmp");
    th_fuzz_claim(mkdtemp(folder) && atexit(remove_folder) == 0);
}

static void put(const char *name, const uint8_t *bytes, size_t size)
{
    char  whole[PATH_MAX];
    char *slash;

    th_fuzz_claim(snprintf(whole, sizeof whole, "%s/%s", folder, name) < (int)sizeof whole);
    if (size == 0) {
        th_fuzz_claim(unlink(whole) == 0 || errno == ENOENT || errno == ENOTDIR);
        return;
    }
    slash = strrchr(whole, '/');
    *slash = 0;
    th_fuzz_claim(mkdir(whole, 0755) == 0 || errno == EEXIST);
    *slash = '/';
    int fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    th_fuzz_claim(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && close(fd) == 0);
}

const char *th_fuzz_folder(const char *const *names, int count, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes, *end = bytes + size;

    if (!folder[0])
        make_folder();
    for (int i = 0; i < count; i++) {
        const uint8_t *cut = at < end ? memchr(at, TH_FUZZ_CUT, (size_t)(end - at)) : NULL;
        const uint8_t *last = cut ? cut : end;
        put(names[i], at, (size_t)(last - at));
        at = cut ? cut + 1 : end;
    }
    return folder;
}
