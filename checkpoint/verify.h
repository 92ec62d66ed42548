/* checkpoint/verify.h - what generations, readers and commits share: is this file the committed
 * one?
 */
#ifndef TH_CHECKPOINT_VERIFY_H
#define TH_CHECKPOINT_VERIFY_H

#include "checkpoint/manifest.h"

/* Size, then hash of the whole data file against the manifest. Errors: TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_verify_file(const char *folder, const th_manifest *manifest, th_err *err);

/* Offers the generations of a folder to `attempt`, newest first, until one succeeds; each that does
 * not is named in the log with the reason. Errors: TH_EDATA when there are some and none succeeds;
 * TH_EIO. */
TH_MUST_CHECK th_code th_verify_newest(const char *folder,
                                       th_code (*attempt)(const char          *folder,
                                                          const th_generation *generation,
                                                          void *context, th_err *err),
                                       void *context, th_generation *out, bool *out_found,
                                       th_err *err);

#endif
