/* dataloader/feature_cache_folder.h - the files of one feature cache's folder. */
#ifndef TH_DATALOADER_FEATURE_CACHE_FOLDER_H
#define TH_DATALOADER_FEATURE_CACHE_FOLDER_H

#include "base/error.h"
#include "dataloader/feature_cache_segment.h"
#include <stdint.h>

typedef enum { TH_FILE_SEGMENT, TH_FILE_TEMP, TH_FILE_ABOUT, TH_FILE_OTHER } th_feature_file_kind;

typedef struct {
    char name[TH_SEGMENT_NAME]; // cut when it is longer, which makes it TH_FILE_OTHER
    th_feature_file_kind kind;
} th_feature_file;

/* Lists the open folder `dir`; free() the list. With out_bytes also the sum of the sizes, which
 * costs a stat a file. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_feature_files_list(int dir, th_feature_file **out, int *out_count,
                                            uint64_t *out_bytes, th_err *err);

/* Makes "<path>/<prefix>-XXXXXX.tmp", open to write and locked (flock) until it is closed, so that
 * th_temp_clean of another process leaves it. `name` is what stands behind the slash.
 * Errors: TH_EIO. */
#define TH_TEMP_NAME TH_SEGMENT_NAME
TH_MUST_CHECK th_code th_temp_open(const char *path, const char *prefix, char name[TH_TEMP_NAME],
                                   int *out_fd, th_err *err);

/* Removes the temporary files that nobody holds: their writer was killed. What cannot be looked at
 * or removed stays, which is no error: it may be somebody else's. */
void th_temp_clean(int dir, const th_feature_file *files, int count);

#endif
