#include "checkpoint/hdf5.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin_once(void)
{
    (void)H5dont_atexit(); // refused only when it was said before
}

th_code th_hdf5_begin(th_err *err)
{
    th_code rc = TH_OK;
    hbool_t safe = 0;

    (void)pthread_once(&once, begin_once);
    TH_HDF5_CHECK(H5Eset_auto2(H5E_DEFAULT, NULL, NULL) >= 0, TH_EFAIL, "could not set up HDF5");
    TH_HDF5_CHECK(H5is_library_threadsafe(&safe) >= 0, TH_EFAIL, "could not ask HDF5");
    TH_CHECK(safe, TH_EFAIL, "build with a thread-safe HDF5 (Debian: libhdf5-dev, the serial one)",
             "this HDF5 is not thread-safe");
out:
    return rc;
}

th_code th_hdf5_access(hid_t *out, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   access = H5Pcreate(H5P_FILE_ACCESS);

    TH_HDF5_CHECK(access >= 0, TH_EIO, "could not set up HDF5");
    TH_HDF5_CHECK(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
                      H5Pset_fapl_sec2(access) >= 0 &&
                      H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
                      H5Pset_file_locking(access, 0, 1) >= 0,
                  TH_EIO, "could not set up HDF5");
    *out = access;
    access = H5I_INVALID_HID;
out:
    return th_hdf5_close(&access, H5Pclose, "options", rc, err);
}

// The innermost record of the error stack tells what the system said.
static herr_t keep_innermost(unsigned depth, const H5E_error2_t *record, void *context)
{
    const char **reason = context;

    if (depth == 0)
        *reason = record->desc;
    return 0;
}

// From "file write failed: time = .., errno = 28, error message = 'No space left on device', ..":
// the message alone, because the rest does not fit a line.
static void shorten(const char *reason, char *out, size_t size)
{
    static const char mark[] = "error message = '";
    const char       *from = reason ? strstr(reason, mark) : NULL;

    if (!from) {
        (void)snprintf(out, size, "%s", reason ? reason : "HDF5 gives no reason");
        return;
    }
    from += sizeof mark - 1;
    const char *to = strchr(from, '\'');
    (void)snprintf(out, size, "%.*s", to ? (int)(to - from) : 100, from);
}

th_code th_hdf5_fail(th_err *err, th_code code, const char *file, int line, const char *what, ...)
{
    char        text[200], reason[120];
    const char *innermost = NULL;
    va_list     values;

    // Upward: from the function that failed first to the one that was called.
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &innermost);
    shorten(innermost, reason, sizeof reason);
    va_start(values, what);
    (void)vsnprintf(text, sizeof text, what, values);
    va_end(values);
    (void)H5Eclear2(H5E_DEFAULT);
    return th_fail(err, code,
                   code == TH_EIO ? "check that the disk has space and works"
                                  : "use an older generation, or a copy of this one",
                   file, line, "%s: %s", text, reason);
}

th_code th_hdf5_close(hid_t *id, herr_t (*close_call)(hid_t), const char *use, th_code rc,
                      th_err *err)
{
    hid_t open = *id;

    *id = H5I_INVALID_HID;
    if (open < 0 || close_call(open) >= 0)
        return rc;
    if (rc != TH_OK)
        return rc; // the first error tells more
    return th_hdf5_fail(err, TH_EIO, __FILE__, __LINE__, "could not close %s", use);
}
