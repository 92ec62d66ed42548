#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static int  file = -1;
static char path[32];

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
