#include "launch/terminal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool parent_is_mpirun(void)
{
    char  path[64], name[32] = "";
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    file = fopen(path, "r");
    if (!file)
        return false;
    bool read = fgets(name, sizeof name, file) != NULL;
    (void)fclose(file);
    name[strcspn(name, "\n")] = '\0';
    return read && (strcmp(name, "mpirun") == 0 || strcmp(name, "mpiexec") == 0 ||
                    strcmp(name, "orterun") == 0 || strcmp(name, "prterun") == 0);
}

bool th_terminal_watches(void)
{
    char path[64], target[64];

    if (isatty(STDERR_FILENO))
        return true;
    if (!parent_is_mpirun())
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/fd/2", (int)getppid());
    ssize_t used = readlink(path, target, sizeof target - 1);
    if (used <= 0)
        return false;
    target[used] = '\0';
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}
