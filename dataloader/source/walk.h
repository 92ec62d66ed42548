/* dataloader/source/walk.h - a folder and those below it, in order of names.
 *
 * Links are followed, but not in circles; names that begin with a dot are passed by. A folder's
 * names are listed when the walk comes to it: memory is that of the largest one. */
#ifndef TH_DATALOADER_SOURCE_WALK_H
#define TH_DATALOADER_SOURCE_WALK_H

#include "base/error.h"
#include <fts.h>

/* fts_close(*out) ends it. Errors: TH_EUSAGE when there is no such folder, TH_EIO. */
TH_MUST_CHECK th_code th_walk_open(const char *folder, FTS **out, th_err *err);

/* The next file or folder, NULL at the end. A folder comes twice, as fts_read() has it; what cannot
 * be read comes with its fts_info, for the caller to judge. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_walk_next(FTS *walk, const FTSENT **out, th_err *err);

/* The part of an entry's path behind the folder that the walk began in. */
const char *th_walk_key(const FTSENT *entry, const char *folder);

#endif
