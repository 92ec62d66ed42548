/* launch/verbs/dump_images.h - the stored pictures of a pack as files, to look at or to compare. */
#ifndef TH_LAUNCH_VERBS_DUMP_IMAGES_H
#define TH_LAUNCH_VERBS_DUMP_IMAGES_H

#include "dataloader/pack.h"

/* Writes the first `limit` records (0: all) into `folder`, which is made: "<record>-<sample
 * id>.png" holds the picture as it is stored, margin included, and ".txt" its captions, one a line.
 * Record numbers have eight digits, so that names sort as records do; a record keeps the hash of
 * its key (the sample id, 16 hexadecimal digits) and not the key. Files of these names are
 * replaced. *out_count: pictures written. Errors: TH_EUSAGE (a path too long), TH_EDATA (a damaged
 * record), TH_EIO. */
TH_MUST_CHECK th_code th_dump_images(th_pack *pack, const char *folder, int64_t limit,
                                     int64_t *out_count, th_err *err);

#endif
