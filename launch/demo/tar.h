/* launch/demo/tar.h - WebDataset tars of the demo: a sample is the members KEY.png, KEY.txt,
 * KEY.json.
 *
 * Times, owners and order are fixed, so the same samples make the same bytes. */
#ifndef TH_LAUNCH_DEMO_TAR_H
#define TH_LAUNCH_DEMO_TAR_H

#include "base/error.h"
#include <stddef.h>

typedef struct th_tar th_tar; // one that is being written

/* Starts <folder>/<name>, which is not there before th_tar_publish(). Errors: TH_EIO. */
TH_MUST_CHECK th_code th_tar_open(const char *folder, const char *name, th_tar **out, th_err *err);
/* Adds the member <key>.<ending>. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_tar_add(th_tar *tar, const char *key, const char *ending,
                                 const void *bytes, size_t size, th_err *err);
TH_MUST_CHECK th_code th_tar_publish(th_tar *tar, th_err *err);
void                  th_tar_close(th_tar *tar); // accepts NULL; what was not published is removed

/* Calls `each` for every member with that ending, in order; `bytes` is zero-terminated (not
 * counted) and borrowed. Errors: TH_EIO, TH_EDATA (no tar, or a member over 16 MiB), those of
 * `each`. */
typedef th_code (*th_tar_member)(void *context, const char *key, const char *bytes, size_t size,
                                 th_err *err);
TH_MUST_CHECK th_code th_tar_read(const char *folder, const char *name, const char *ending,
                                  th_tar_member each, void *context, th_err *err);

#endif
