/* base/file.h - files that are whole or not there.
 *
 * Publishing: write NAME.tmp, flush it, rename it to NAME, flush the directory. A reader sees the
 * old file or the new one, never half; a power cut cannot undo what was reported. Any thread. */
#ifndef TH_BASE_FILE_H
#define TH_BASE_FILE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Writes all bytes, going on after EINTR and short writes. Errors: TH_EIO (disk full among them).
 */
TH_MUST_CHECK th_code th_write_all(int fd, const void *bytes, size_t size, const char *name,
                                   th_err *err);

/* Flushes tmp, renames it to name (both relative to the open directory `dir`, or AT_FDCWD), flushes
 * the directory. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_file_publish(int dir, const char *tmp, const char *name, th_err *err);

/* th_file_publish for a whole small file at `path`, written through "<path>.tmp". */
TH_MUST_CHECK th_code th_file_replace(const char *path, const void *bytes, size_t size,
                                      th_err *err);

/* The same without flushing: readers see the old file or the new one, but a power cut may undo it.
 * For what is written often and can be missed. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_file_replace_unflushed(const char *path, const void *bytes, size_t size,
                                                th_err *err);

/* Flushes the directory that holds `path`, so that a rename or unlink in it is durable. */
TH_MUST_CHECK th_code th_flush_folder_of(const char *path, th_err *err);

/* Reads a whole file of at most limit_bytes; *out is zero-terminated (not counted), free() it.
 * Errors: TH_EIO when it cannot be read, TH_EDATA when it is larger than the limit. */
TH_MUST_CHECK th_code th_file_read(const char *path, size_t limit_bytes, char **out,
                                   size_t *out_size, th_err *err);

/* Makes a folder and those above it; one that is there already is fine. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_folder_make(const char *path, th_err *err);

_Bool th_path_exists(const char *path);

/* Joins a folder and a name into out; false when it does not fit. */
_Bool th_path_join(char *out, size_t size, const char *folder, const char *name);

/* Takes the advisory lock of a file, which is made if needed, without waiting; the lock is given up
 * when the process ends, however it ends. `owner` (for instance "node7 pid 4711") is written into
 * it. Errors: TH_EUSAGE when another process holds it (`what` quotes that owner), TH_EIO. *out is
 * the open file: close() gives the lock up. */
TH_MUST_CHECK th_code th_file_lock(const char *path, const char *owner, int *out, th_err *err);

/* Does a process, on any node, hold that lock? `owner` gets what it has written into the file,
 * empty when nobody does. A file that is not there is not locked. Whoever takes the lock at this
 * very moment waits a little and gets it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_file_locked(const char *path, _Bool *out, char *owner, size_t size,
                                     th_err *err);

#endif
