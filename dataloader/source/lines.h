/* dataloader/source/lines.h - a text file line by line, of any length, with a limit on memory. */
#ifndef TH_DATALOADER_SOURCE_LINES_H
#define TH_DATALOADER_SOURCE_LINES_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    FILE       *file;
    const char *path;        // borrowed
    size_t      limit;       // bytes of a line that are kept
    char       *bytes;       // the line without its end (LF or CR LF), zero-terminated
    size_t      size, room;  // of what is kept
    bool        over;        // the line is longer than the limit: the rest was not kept
    int64_t     number;      // of the line, from 1
    int64_t     read, total; // bytes of the file
} th_lines;

/* The path is borrowed until th_lines_close. A byte order mark is passed by. Errors: TH_EUSAGE (no
 * such file, a folder), TH_EIO. */
TH_MUST_CHECK th_code th_lines_open(th_lines *lines, const char *path, size_t limit, th_err *err);
/* The next line that is not empty; *out_more is false at the end. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_lines_next(th_lines *lines, bool *out_more, th_err *err);
void                  th_lines_close(th_lines *lines); // accepts a zeroed one

#endif
