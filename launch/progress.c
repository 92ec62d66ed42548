#include "launch/progress.h"

#include "base/log.h"
#include "launch/terminal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_SECONDS   0.1
#define FIRST_LINE_AFTER 5.0   // where there is no terminal
#define LONGEST_SILENCE  300.0 // likewise
#define BAR_WIDTH        24

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); // cannot fail with this clock
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void clear(void *context)
{
    th_progress *progress = context;

    if (progress->drawn)
        (void)fputs("\r\033[K", stderr);
    progress->drawn = false;
}

void th_progress_begin(th_progress *progress, const char *title, int64_t done)
{
    *progress = (th_progress){ .title = title,
                               .terminal = th_terminal_watches(),
                               .started = now(),
                               .first = done,
                               .interval = FIRST_LINE_AFTER };
    progress->shown = progress->started;
    if (progress->terminal)
        th_log_before_line(clear, progress);
}

static void print_time(double seconds, char *out, size_t size)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

    if (s >= 86400)
        (void)snprintf(out, size, "%ldd %02ldh", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        (void)snprintf(out, size, "%ldh %02ldm", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, size, "%ldm %02lds", s / 60, s % 60);
}

static void print_bar(double share, char out[BAR_WIDTH + 1])
{
    int filled = (int)(share * BAR_WIDTH);

    for (int i = 0; i < BAR_WIDTH; i++)
        out[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    out[BAR_WIDTH] = '\0';
}

void th_progress_show(th_progress *progress, int64_t done, int64_t total, const char *text)
{
    double time = now(), elapsed = time - progress->started;
    char   left[32] = "", bar[BAR_WIDTH + 1];

    if (time - progress->shown < (progress->terminal ? REDRAW_SECONDS : progress->interval))
        return;
    progress->shown = time;
    if (total > 0 && done > progress->first)
        print_time(elapsed / (double)(done - progress->first) * (double)(total - done), left,
                   sizeof left);
    double share = total > 0 ? (double)done / (double)total : 0;
    if (progress->terminal) {
        print_bar(share, bar);
        (void)fprintf(stderr, "\r\033[K%s [%s] %3.0f%%  %s%s%s", progress->title, bar, 100 * share,
                      text, *left ? "  left " : "", left);
        (void)fflush(stderr);
        progress->drawn = true;
    } else {
        th_info("%s %.0f%%  %s%s%s", progress->title, 100 * share, text, *left ? "  left " : "",
                left);
        progress->interval =
            progress->interval * 1.5 < LONGEST_SILENCE ? progress->interval * 1.5 : LONGEST_SILENCE;
    }
}

void th_progress_end(th_progress *progress)
{
    clear(progress);
    if (progress->terminal)
        th_log_before_line(NULL, NULL);
}
