/* launch/progress.h - a line on the terminal that says how far, how fast and how long still.
 *
 * On a terminal one line is drawn over and over; elsewhere a log line is written now and then. Log
 * lines clear the bar first. A line is cut at the terminal's width, as one that wraps could not be
 * drawn over. One at a time, from one thread. */
#ifndef TH_LAUNCH_PROGRESS_H
#define TH_LAUNCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *title;
    bool        terminal;
    double      started, shown; // seconds of the monotonic clock
    int64_t     first;          // `done` at the start
    bool        drawn;
    double      interval;    // seconds between two lines where there is no terminal; it grows
    char        event[96];   // what has just happened
    double      event_until; // it is shown so long
} th_progress;

void th_progress_begin(th_progress *progress, const char *title, int64_t done);
/* Shows done of total (0: unknown), with a text behind, if it is time to. */
void th_progress_show(th_progress *progress, int64_t done, int64_t total, const char *text);
/* "2d 03h", "1h 20m", "4m 05s" */
void th_progress_time(double seconds, char *out, size_t size);
/* Something has happened: the next line is drawn at once, and says it for ten seconds. Before
 * th_progress_begin nothing happens. */
void th_progress_event(th_progress *progress, const char *text);
void th_progress_end(th_progress *progress); // clears the line

#endif
