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
#define EVENT_SECONDS    10.0
#define WIDEST_BAR       24

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

void th_progress_time(double seconds, char *out, size_t size)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

    if (s >= 86400)
        (void)snprintf(out, size, "%ldd %02ldh", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        (void)snprintf(out, size, "%ldh %02ldm", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, size, "%ldm %02lds", s / 60, s % 60);
}

static void print_bar(double share, int width, char out[WIDEST_BAR + 1])
{
    int filled = (int)(share * width);

    for (int i = 0; i < width; i++)
        out[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    out[width] = '\0';
}

// Draws the line over the one before. What does not fit is cut off, at the start of a character.
static void draw(th_progress *progress, double share, const char *words)
{
    int  columns = th_terminal_columns();
    char line[512], bar[WIDEST_BAR + 1];

    print_bar(share, columns == 0 || columns >= 120 ? WIDEST_BAR : WIDEST_BAR / 2, bar);
    int used = snprintf(line, sizeof line, "%s [%s] %3.0f%%  %s", progress->title, bar, 100 * share,
                        words);
    size_t length = used < (int)sizeof line ? (size_t)used : sizeof line - 1;
    if (columns > 0 && length >= (size_t)columns)
        length = (size_t)columns - 1;
    while (length > 0 && ((unsigned char)line[length] & 0xc0) == 0x80)
        length--;
    (void)fprintf(stderr, "\r\033[K%.*s", (int)length, line);
    (void)fflush(stderr);
    progress->drawn = true;
}

void th_progress_show(th_progress *progress, int64_t done, int64_t total, const char *text)
{
    double time = now(), elapsed = time - progress->started;
    char   left[32] = "", words[384];

    if (time - progress->shown < (progress->terminal ? REDRAW_SECONDS : progress->interval))
        return;
    progress->shown = time;
    if (total > 0 && done > progress->first)
        th_progress_time(elapsed / (double)(done - progress->first) * (double)(total - done), left,
                         sizeof left);
    double      share = total > 0 ? (double)done / (double)total : 0;
    const char *event = time < progress->event_until ? progress->event : "";
    (void)snprintf(words, sizeof words, "%s%s%s%s%s%s", *left ? "left " : "", left,
                   *left ? "  " : "", event, *event ? "  " : "", text);
    if (progress->terminal) {
        draw(progress, share, words);
    } else {
        th_info("%s %.0f%%  %s", progress->title, 100 * share, words);
        progress->interval =
            progress->interval * 1.5 < LONGEST_SILENCE ? progress->interval * 1.5 : LONGEST_SILENCE;
    }
}

void th_progress_event(th_progress *progress, const char *text)
{
    if (progress->started == 0)
        return;
    (void)snprintf(progress->event, sizeof progress->event, "%s", text);
    progress->event_until = now() + EVENT_SECONDS;
    if (progress->terminal) // elsewhere the event is a line of the log
        progress->shown = 0;
}

void th_progress_end(th_progress *progress)
{
    clear(progress);
    if (progress->terminal)
        th_log_before_line(NULL, NULL);
}
