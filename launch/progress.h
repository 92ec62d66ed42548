/* launch/progress.h - a line on the terminal that says how far, how fast and how long still.
 *
 * On a terminal one line is drawn over and over; elsewhere a log line is written now and then. Log
 * lines clear the bar first. One at a time, from one thread. */
#ifndef TH_LAUNCH_PROGRESS_H
#define TH_LAUNCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *title;
    bool        terminal;
    double      started, shown; // seconds of the monotonic clock
    int64_t     first;          // `done` at the start
    bool        drawn;
    double      interval; // seconds between two lines where there is no terminal; it grows
} th_progress;

void th_progress_begin(th_progress *progress, const char *title, int64_t done);
/* Shows done of total (0: unknown), with a text behind, if it is time to. */
void th_progress_show(th_progress *progress, int64_t done, int64_t total, const char *text);
void th_progress_end(th_progress *progress); // clears the line

#endif
