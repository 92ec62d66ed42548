// Feeds a target every file of the folders that it is given: its corpus, in a build without
// libFuzzer. What a fuzzer once found stays a test of every build.
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void replay(int folder, const char *name)
{
    struct stat status;
    int         fd = openat(folder, name, O_RDONLY | O_CLOEXEC);

    th_fuzz_claim(fd >= 0 && fstat(fd, &status) == 0);
    size_t   size = (size_t)status.st_size;
    uint8_t *bytes = malloc(size); // exactly: one byte too far is seen
    th_fuzz_claim((bytes || size == 0) && read(fd, bytes, size) == (ssize_t)size);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    (void)close(fd); // opened for reading: nothing left to lose
}

int main(int count, char **folders)
{
    int seen = 0;

    for (int i = 1; i < count; i++) {
        DIR           *folder = opendir(folders[i]);
        struct dirent *entry;

        th_fuzz_claim(folder);
        while ((entry = readdir(folder)))
            if (entry->d_name[0] != '.') {
                (void)printf("%s/%s\n", folders[i], entry->d_name);
                (void)fflush(stdout); // the last line names what ended the program
                replay(dirfd(folder), entry->d_name);
                seen++;
            }
        (void)closedir(folder);
    }
    (void)printf("%d files\n", seen);
    return seen > 0 ? 0 : 1;
}
