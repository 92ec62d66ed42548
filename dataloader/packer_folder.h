/* dataloader/packer_folder.h - the folder that a pack is made in: new, empty, begun, or left
 * behind.
 *
 * A folder that holds anything but files of a pack of its name is never touched. */
#ifndef TH_DATALOADER_PACKER_FOLDER_H
#define TH_DATALOADER_PACKER_FOLDER_H

#include "dataloader/pack.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define TH_PACK_STOP "stop.tmp" // a rank gave up, and the others are to stop too

typedef enum {
    TH_FOLDER_EMPTY,
    TH_FOLDER_LEFT,  // files of a pack, and neither of those below
    TH_FOLDER_BEGUN, // TH_PACK_BEGUN: work that can go on
    TH_FOLDER_DONE,  // dataset.json and TH_PACK_BEGUN: nothing is missing but cleaning up
    TH_FOLDER_PACK,  // dataset.json alone
} th_folder_state;

typedef struct {
    char path[PATH_MAX];
    char name[64]; // its last part, which its shards are named by
    int  lock;     // the open folder, locked; -1 when not
} th_new_folder;

/* Checks the path, and no more. Errors: TH_EUSAGE: a name that shards cannot carry. */
TH_MUST_CHECK th_code th_new_folder_name(const char *path, th_new_folder *out, th_err *err);

/* Makes the named folder and those above, locks it, and looks what is there. Errors: TH_EUSAGE
 * (another packer is at work; beside unfinished work it holds other files), TH_EIO. */
TH_MUST_CHECK th_code th_new_folder_take(th_new_folder *folder, th_folder_state *out, th_err *err);
void                  th_new_folder_close(th_new_folder *folder);

/* Removes all files of the taken folder. Errors: TH_EUSAGE (there are others, and nothing was
 * removed), TH_EIO. */
TH_MUST_CHECK th_code th_new_folder_clean(const th_new_folder *folder, th_err *err);

/* The paths of shard and unit i. False when they do not fit. */
bool th_new_folder_shard(const th_new_folder *folder, int i, char *out, size_t size);
bool th_new_folder_unit(const th_new_folder *folder, int i, char *out, size_t size);

#endif
