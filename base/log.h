/* base/log.h - the process log: one line per event, to stderr and to the run directory's log.txt.
 *
 *     2026-11-24T08:47:05Z info  rank 0: resumed from step-00001200.h5
 *
 * Process-wide state, the only kind thaw has besides signal flags. Any thread may log; a line is
 * written whole. Never fails: a log that cannot be written is not a reason to stop training. */
#ifndef TH_BASE_LOG_H
#define TH_BASE_LOG_H

#include "base/error.h"

typedef enum { TH_DEBUG, TH_INFO, TH_WARN, TH_ALARM } th_level;

/* Sets the lowest level shown on stderr (TH_INFO at first) and the rank named in each line
 * (-1: no rank is named, for commands that are not a job). */
void th_log_setup(th_level stderr_level, int rank);

/* Also appends every line from TH_DEBUG up to the file at `path`, from now on; NULL closes it. */
th_code th_log_file(const char *path, th_err *err);

/* Called before a line goes to stderr, so that a progress bar can clear itself; NULL for none. */
void th_log_before_line(void (*clear)(void *context), void *context);

void th_log(th_level level, const char *format, ...) TH_PRINTF(2, 3);

/* Logs an error with its trail and fix, on as many lines as it needs. */
void th_log_error(th_level level, const th_err *err);

#define th_debug(...) th_log(TH_DEBUG, __VA_ARGS__)
#define th_info(...)  th_log(TH_INFO, __VA_ARGS__)
#define th_warn(...)  th_log(TH_WARN, __VA_ARGS__)
#define th_alarm(...) th_log(TH_ALARM, __VA_ARGS__)

#endif
