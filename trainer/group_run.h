/* trainer/group_run.h - neighbouring groups of which the same is to be said, under one name. */
#ifndef TH_TRAINER_GROUP_RUN_H
#define TH_TRAINER_GROUP_RUN_H

#include "trainer/parameters.h"

#define TH_GROUP_RUN_NAME 64

/* Does the same hold of both groups? */
typedef bool th_groups_alike(const void *context, int group, int other);

/* The longest run of alike groups from `first` on that a pattern of the run file selects: a whole
 * tower ("image"), blocks ("image.blocks[2:5]"), or one group. Returns the index of the group after
 * it. Local. */
int th_group_run(const th_parameters *parameters, int first, th_groups_alike *alike,
                 const void *context, char name[TH_GROUP_RUN_NAME]);

#endif
