/* trainer/pattern.c - what a pattern of the run file selects: towers, groups, slices, globs. */
#include "trainer/parameters.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

// "[3]" or "[6:9]" or "" (all) on a block index.
static bool in_slice(const char *slice, int block)
{
    int first = 0, end = 0, used = 0;

    if (*slice == '\0')
        return true;
    if (sscanf(slice, "[%d]%n", &first, &used) == 1 && slice[used] == '\0')
        return block == first;
    used = 0;
    if (sscanf(slice, "[%d:%d]%n", &first, &end, &used) == 2 && used > 0 && slice[used] == '\0')
        return block >= first && block < end;
    return false;
}

// The part of a pattern behind "image." or "text.", on a group of that tower.
static bool matches_group(const char *part, int depth, int layers)
{
    int k = 0, used = 0;

    if (strcmp(part, "embed") == 0)
        return depth == 0;
    if (strcmp(part, "head") == 0)
        return depth == layers + 1;
    if (strncmp(part, "blocks", 6) == 0)
        return depth >= 1 && depth <= layers && in_slice(part + 6, depth - 1);
    if (sscanf(part, "top(%d)%n", &k, &used) == 1 && used > 0 && part[used] == '\0')
        return depth > layers - k && depth > 0;
    return false;
}

bool th_parameters_match(const th_parameters *parameters, int row, const char *pattern)
{
    const th_parameter *parameter = &parameters->rows[row];
    const th_group     *group = &parameters->groups[parameter->group];
    bool                image = parameter->tower == TH_IMAGE;
    bool                text = parameter->tower == TH_TEXT_TOWER;
    int layers = (int)(image ? parameters->model.image.layers : parameters->model.text.layers);

    if (strcmp(pattern, "all") == 0)
        return true;
    if (strcmp(pattern, "image") == 0)
        return image;
    if (strcmp(pattern, "text") == 0)
        return text;
    if (strcmp(pattern, "heads") == 0)
        return parameter->tower == TH_NO_TOWER || group->depth == layers + 1;
    if (image && strncmp(pattern, "image.", 6) == 0)
        return matches_group(pattern + 6, group->depth, layers);
    if (text && strncmp(pattern, "text.", 5) == 0)
        return matches_group(pattern + 5, group->depth, layers);
    return fnmatch(pattern, parameter->name, 0) == 0;
}
