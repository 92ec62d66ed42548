/* tests/fault/watch_memory.c - the largest resident memory of a program in each stage of a run.
 *
 *     watch_memory METRICS OUT COMMAND...
 *
 * Runs COMMAND and writes to OUT, for each stage that METRICS (the run's metrics.jsonl) says has
 * begun, a line with its peak in KiB. Linux keeps the peak (VmHWM) and sets it back to what is
 * resident when 5 is written to clear_refs; that is done when a stage has begun. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long peak_kib(pid_t pid)
{
    char  path[64], line[256];
    long  peak = -1;
    FILE *status;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &peak) == 1)
            break;
    if (status)
        fclose(status);
    return peak;
}

static int forget_peak(pid_t pid)
{
    char  path[64];
    FILE *clear;

    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)pid);
    clear = fopen(path, "w");
    return clear && fputs("5", clear) >= 0 && fclose(clear) == 0;
}

static int stages_begun(const char *metrics)
{
    char  line[4096];
    int   count = 0;
    FILE *file = fopen(metrics, "r");

    while (file && fgets(line, sizeof line, file))
        count += strstr(line, "\"event\": \"begins\"") && strchr(line, '\n');
    if (file)
        fclose(file);
    return count;
}

int main(int argc, char **argv)
{
    struct timespec pause = { .tv_nsec = 2000000 };
    int             status, seen = 0;
    long            peak = 0;

    if (argc < 4)
        return 2;
    FILE *out = fopen(argv[2], "w");
    pid_t pid = fork();
    if (!out || pid < 0)
        return 1;
    if (pid == 0) {
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int  now = stages_begun(argv[1]);
        long kib = peak_kib(pid);
        if (now != seen) {
            if (seen > 0)
                fprintf(out, "%ld\n", peak);
            // What is counted from here on began with the stage.
            if (!forget_peak(pid))
                return 1;
            seen = now;
        } else if (kib > 0) {
            peak = kib;
        }
        nanosleep(&pause, NULL);
    }
    fprintf(out, "%ld\n", peak);
    return fclose(out) == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
