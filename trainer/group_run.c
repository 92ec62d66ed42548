#include "trainer/group_run.h"

#include <stdio.h>

static bool is_block(const th_parameters *parameters, int group)
{
    const th_group *this = &parameters->groups[group];
    int64_t layers =
        this->tower == TH_IMAGE ? parameters->model.image.layers : parameters->model.text.layers;

    return this->tower != TH_NO_TOWER && this->depth >= 1 && this->depth <= layers;
}

int th_group_run(const th_parameters *parameters, int first, th_groups_alike *alike,
                 const void *context, char name[TH_GROUP_RUN_NAME])
{
    const th_group *groups = parameters->groups;
    th_tower        tower = groups[first].tower;
    const char     *word = tower == TH_IMAGE ? "image" : "text";
    int             end = first + 1, count = parameters->group_count;

    while (end < count && groups[end].tower == tower && alike(context, first, end))
        end++;
    bool whole = tower != TH_NO_TOWER && groups[first].depth == 0 &&
                 (end == count || groups[end].tower != tower);
    if (whole) {
        (void)snprintf(name, TH_GROUP_RUN_NAME, "%s", word);
        return end;
    }
    while (end > first + 1 && !(is_block(parameters, first) && is_block(parameters, end - 1)))
        end--;
    if (end == first + 1)
        (void)snprintf(name, TH_GROUP_RUN_NAME, "%s", groups[first].name);
    else
        (void)snprintf(name, TH_GROUP_RUN_NAME, "%s.blocks[%d:%d]", word, groups[first].depth - 1,
                       groups[end - 1].depth);
    return end;
}
