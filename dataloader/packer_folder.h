/* dataloader/packer_folder.h - the folder that a new pack is made in: new, empty, or left behind.
 *
 * A folder without dataset.json that holds nothing but files of a pack of its name was left by a
 * packer that was killed: they are removed. A folder that holds anything else is never touched. */
#ifndef TH_DATALOADER_PACKER_FOLDER_H
#define TH_DATALOADER_PACKER_FOLDER_H

#include "base/error.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char path[PATH_MAX];
    char name[64]; // its last part, which its shards are named by
    int  lock;     // the open folder, locked; -1 when not
} th_new_folder;

/* Takes the folder for a new pack. `rebuild`: a committed pack may be there and is removed too.
 * *out_left (may be NULL): something was left behind. Errors: TH_EUSAGE (a pack or other files are
 * there, another packer is at work, a name that shards cannot carry), TH_EIO. */
TH_MUST_CHECK th_code th_new_folder_open(const char *path, bool rebuild, th_new_folder *out,
                                         bool *out_left, th_err *err);
void                  th_new_folder_close(th_new_folder *folder);

/* The path of shard i. False when it does not fit. */
bool th_new_folder_shard(const th_new_folder *folder, int i, char *out, size_t size);

#endif
