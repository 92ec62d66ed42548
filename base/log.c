#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048 // longer lines are cut; the longest error line has 256 bytes of text

static struct {
    pthread_mutex_t lock;
    th_level        stderr_level;
    int             rank;
    int             file; // -1: none
    void (*clear)(void *context);
    void *context;
} process_log = { PTHREAD_MUTEX_INITIALIZER, TH_INFO, -1, -1, NULL, NULL };

void th_log_setup(th_level stderr_level, int rank)
{
    (void)pthread_mutex_lock(&process_log.lock);
    process_log.stderr_level = stderr_level;
    process_log.rank = rank;
    (void)pthread_mutex_unlock(&process_log.lock);
}

th_code th_log_file(const char *path, th_err *err)
{
    th_code rc = TH_OK;
    int     file = -1;

    if (path) {
        file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        TH_CHECK(file >= 0, TH_EIO, "check that the folder exists, is writable and has space",
                 "could not open log file \"%s\": %s", path, strerror(errno));
    }
    (void)pthread_mutex_lock(&process_log.lock);
    if (process_log.file >= 0)
        (void)close(process_log.file); // a log that could not be written stops nothing
    process_log.file = file;
    (void)pthread_mutex_unlock(&process_log.lock);
out:
    return rc;
}

void th_log_before_line(void (*clear)(void *context), void *context)
{
    (void)pthread_mutex_lock(&process_log.lock);
    process_log.clear = clear;
    process_log.context = context;
    (void)pthread_mutex_unlock(&process_log.lock);
}

// One write() per line: with O_APPEND, lines of several ranks in one file do not mix either.
static void put_line(int fd, const char *line, size_t size)
{
    ssize_t written;

    do
        written = write(fd, line, size);
    while (written < 0 && errno == EINTR);
}

// Formats "time level rank: " and then the text. Control characters, which file names and captions
// may hold, become '?': they would break the line or steer the terminal.
static size_t format_line(char line[LINE_BYTES], th_level level, int rank, const char *format,
                          va_list values)
{
    static const char *const names[] = { "debug", "info ", "warn ", "ALARM" };
    time_t                   now = time(NULL);
    struct tm                utc;
    size_t                   used = 0;

    if (gmtime_r(&now, &utc))
        used = strftime(line, LINE_BYTES, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    used += (size_t)snprintf(line + used, LINE_BYTES - used, "%s ", names[level]);
    if (rank >= 0)
        used += (size_t)snprintf(line + used, LINE_BYTES - used, "rank %d: ", rank);

    int text = vsnprintf(line + used, LINE_BYTES - used, format, values);
    if (text < 0)
        text = 0;
    for (size_t i = used; i < LINE_BYTES - 1 && i < used + (size_t)text; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    used += (size_t)text;
    if (used > LINE_BYTES - 1) { // what vsnprintf could not place is cut, and the cut shows
        used = LINE_BYTES - 1;
        (void)snprintf(line + used - 4, 5, " ...");
    }
    line[used] = '\n';
    return used + 1;
}

void th_log(th_level level, const char *format, ...)
{
    char    line[LINE_BYTES];
    va_list values;

    (void)pthread_mutex_lock(&process_log.lock);
    va_start(values, format);
    size_t size = format_line(line, level, process_log.rank, format, values);
    va_end(values);
    if (level >= process_log.stderr_level) {
        if (process_log.clear)
            process_log.clear(process_log.context);
        put_line(STDERR_FILENO, line, size);
    }
    if (process_log.file >= 0)
        put_line(process_log.file, line, size);
    (void)pthread_mutex_unlock(&process_log.lock);
}

void th_log_error(th_level level, const th_err *err)
{
    th_log(level, "%s", err->what);
    if (err->trail[0])
        th_log(level, "  while: %s", err->trail);
    if (err->fix[0])
        th_log(level, "  fix:   %s", err->fix);
    if (err->file)
        th_log(level, "  at:    %s:%d", err->file, err->line);
}
