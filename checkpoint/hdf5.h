/* checkpoint/hdf5.h - HDF5 as this folder uses it: its errors as ours, its options set once.
 *
 * Any thread: the library's thread-safe build holds one lock for all calls. */
#ifndef TH_CHECKPOINT_HDF5_H
#define TH_CHECKPOINT_HDF5_H

#include "base/error.h"
#include <hdf5.h>

/* Before the first HDF5 call in a function that a new thread may enter: silences the library's own
 * printing (a setting of each thread) and keeps it from registering an exit handler, which would
 * race with the writer's thread. Errors: TH_EFAIL when this build of HDF5 is not thread-safe. */
TH_MUST_CHECK th_code th_hdf5_begin(th_err *err);

/* File access: the format of HDF5 1.10, the plain POSIX driver, no locks of HDF5's own (they fail
 * on network disks without flock; generations never change, and a run directory has a lock). */
TH_MUST_CHECK th_code th_hdf5_access(hid_t *out, th_err *err);

/* Starts an error whose `what` ends with the library's reason ("No space left on device"). */
th_code th_hdf5_fail(th_err *err, th_code code, const char *file, int line, const char *what, ...)
    TH_PRINTF(5, 6);

/* Closes *id when it is open. Returns rc, or a new error when rc is TH_OK and closing fails: that
 * is where HDF5 writes what it kept. */
th_code th_hdf5_close(hid_t *id, herr_t (*close_call)(hid_t), const char *use, th_code rc,
                      th_err *err);

#define TH_HDF5_CHECK(condition, code, ...)                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            rc = th_hdf5_fail(err, (code), __FILE__, __LINE__, __VA_ARGS__);                       \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

#endif
