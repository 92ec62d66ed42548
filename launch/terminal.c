#include "launch/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

// What mpirun's stderr is, when it is a terminal and mpirun has started this process.
static bool parents_terminal(char *out, size_t size)
{
    char path[64];

    if (!parent_is_mpirun())
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/fd/2", (int)getppid());
    ssize_t used = readlink(path, out, size - 1);
    if (used <= 0)
        return false;
    out[used] = '\0';
    return strncmp(out, "/dev/pts/", 9) == 0 || strncmp(out, "/dev/tty", 8) == 0;
}

bool th_terminal_watches(void)
{
    char target[64];

    return isatty(STDERR_FILENO) || parents_terminal(target, sizeof target);
}

int th_terminal_columns(void)
{
    struct winsize window = { 0 };
    char           target[64];

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0)
        return window.ws_col;
    if (!parents_terminal(target, sizeof target))
        return 0;
    int fd = open(target, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int rc = ioctl(fd, TIOCGWINSZ, &window);
    (void)close(fd); // opened for reading: nothing left to lose
    return rc == 0 ? window.ws_col : 0;
}
