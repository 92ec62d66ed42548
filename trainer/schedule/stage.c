#include "trainer/schedule/stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATTERN_BYTES 128

// Copies the next pattern of "[a, b]" or "a" and returns what follows it; NULL at the end.
static const char *next_pattern(const char *list, char out[PATTERN_BYTES])
{
    list += strspn(list, " ,");
    size_t length = 0, depth = 0;
    // "image.blocks[6:9]" has brackets of its own: only the outer ones make the list.
    while (list[length] && (depth > 0 || (list[length] != ',' && list[length] != ']'))) {
        depth += list[length] == '[';
        depth -= list[length] == ']';
        length++;
    }
    while (length > 0 && list[length - 1] == ' ')
        length--;
    if (length == 0 || length >= PATTERN_BYTES)
        return NULL;
    memcpy(out, list, length);
    out[length] = '\0';
    return list + length;
}

static const char *first_pattern(const char *list)
{
    return list[0] == '[' ? list + 1 : list;
}

bool th_stage_selects(const char *list, const th_parameters *parameters, int row)
{
    char pattern[PATTERN_BYTES];

    for (const char *at = first_pattern(list); (at = next_pattern(at, pattern));)
        if (th_parameters_match(parameters, row, pattern))
            return true;
    return false;
}

// Every pattern of a list must select something: one that does not is a misspelling. So is what
// stands behind the last one that could be read.
static th_code check_list(const char *what, const char *list, const th_parameters *parameters,
                          th_err *err)
{
    const char *fix = "write a tower, a group such as image.top(2), or a glob on names: *.ln_1.*";
    char        pattern[PATTERN_BYTES];
    const char *at = first_pattern(list), *rest = at;
    th_code     rc = TH_OK;

    while ((at = next_pattern(rest, pattern))) {
        int selected = 0;
        for (int i = 0; i < parameters->row_count; i++)
            selected += th_parameters_match(parameters, i, pattern);
        TH_CHECK(selected > 0, TH_EUSAGE, fix, "pattern \"%s\" of %s selects no parameter", pattern,
                 what);
        rest = at;
    }
    rest += strspn(rest, " ");
    TH_CHECK(strcmp(rest, list[0] == '[' ? "]" : "") == 0, TH_EUSAGE, fix,
             "cannot read \"%.60s\" of %s as a pattern of less than %d bytes", rest, what,
             PATTERN_BYTES);
out:
    return rc;
}

// Does a row train at the stage's start, before any group has thawed?
static bool starts(const th_stage *stage, const th_parameters *parameters, const bool *before,
                   int row)
{
    const th_stage_options *own = &stage->own;

    if (own->freeze && th_stage_selects(own->freeze, parameters, row))
        return false;
    if (own->unfreeze && th_stage_selects(own->unfreeze, parameters, row))
        return true;
    return own->train ? th_stage_selects(own->train, parameters, row) : before[row];
}

static int64_t layers_of(const th_parameters *parameters, th_tower tower)
{
    return tower == TH_IMAGE ? parameters->model.image.layers : parameters->model.text.layers;
}

// How a tower thaws in this stage: the long form, or the short one when it names this tower.
static th_thaw thaw_of(const th_stage *stage, th_tower tower)
{
    const th_stage_options *own = &stage->own;
    const char             *name = tower == TH_IMAGE ? "image" : "text";

    if (own->unfreeze_tower && strcmp(own->unfreeze_tower, name) == 0)
        return (th_thaw){ .from = own->unfreeze_from, .every = own->unfreeze_every };
    return tower == TH_IMAGE ? own->image : own->text;
}

// A group is frozen while one of its rows is.
static bool group_trains(const th_group *group, const bool *trains)
{
    for (int i = group->first_row; i < group->first_row + group->row_count; i++)
        if (!trains[i])
            return false;
    return true;
}

// Thaws the groups of a tower whose turn has come: of those frozen at the stage's start, from the
// top or the bottom, one at step 0 and one more every `every` steps.
static th_code thaw(const th_stage *stage, const th_parameters *parameters, th_tower tower,
                    int64_t records, int64_t step, bool *trains, int64_t *thawed, th_err *err)
{
    th_thaw how = thaw_of(stage, tower);
    int64_t every, turn = 0;
    int     top = (int)layers_of(parameters, tower) + 1;
    th_code rc = TH_OK;

    if (how.every.amount == 0)
        return TH_OK;
    TH_TRY(th_span_steps("unfreeze.one_group_every", how.every, stage->options.batch, records,
                         &every, err));
    bool from_top = strcmp(how.from, "top") == 0;
    for (int k = 0; k <= top; k++) {
        int             depth = from_top ? top - k : k;
        const th_group *group = &parameters->groups[th_parameters_group(parameters, tower, depth)];
        if (group_trains(group, trains))
            continue;
        int64_t at = every * turn++;
        for (int i = group->first_row; at <= step && i < group->first_row + group->row_count; i++) {
            thawed[i] = trains[i] ? thawed[i] : at;
            trains[i] = true;
        }
    }
out:
    return rc;
}

th_code th_stage_rows(const th_stage *stage, const th_parameters *parameters, int64_t records,
                      const bool *before, int64_t step, bool *trains, int64_t *thawed, th_err *err)
{
    const th_stage_options *own = &stage->own;
    int                     count = 0;
    th_code                 rc = TH_OK;

    if (own->train)
        TH_TRY(check_list("train", own->train, parameters, err));
    if (own->freeze)
        TH_TRY(check_list("freeze", own->freeze, parameters, err));
    if (own->unfreeze)
        TH_TRY(check_list("unfreeze", own->unfreeze, parameters, err));
    for (int i = 0; i < parameters->row_count; i++) {
        trains[i] = starts(stage, parameters, before, i);
        thawed[i] = 0;
    }
    TH_TRY(thaw(stage, parameters, TH_IMAGE, records, step, trains, thawed, err));
    TH_TRY(thaw(stage, parameters, TH_TEXT_TOWER, records, step, trains, thawed, err));
    for (int i = 0; i < parameters->row_count; i++)
        count += trains[i];
    TH_CHECK(count > 0, TH_EUSAGE, "add train: or unfreeze:", "it trains nothing");
out:
    return rc == TH_OK ? TH_OK : th_during(err, "laying out stage \"%s\"", own->name);
}

// Groups of a tower that are frozen at the stage's start.
static int frozen_groups(const th_stage *stage, const th_parameters *parameters, const bool *before,
                         th_tower tower)
{
    int count = 0;

    for (int g = 0; g < parameters->group_count; g++) {
        const th_group *group = &parameters->groups[g];
        int             row = group->first_row, end = row + group->row_count;
        while (group->tower == tower && row < end && starts(stage, parameters, before, row))
            row++;
        count += group->tower == tower && row < end;
    }
    return count;
}

// Steps until the last frozen group has had its turn.
static th_code thaw_steps(const th_stage *stage, const th_parameters *parameters, int64_t records,
                          const bool *before, th_tower tower, int64_t *out, th_err *err)
{
    th_span every = thaw_of(stage, tower).every;
    int64_t turn = 0;
    th_code rc = TH_OK;

    if (every.amount > 0)
        TH_TRY(th_span_steps("unfreeze.one_group_every", every, stage->options.batch, records,
                             &turn, err));
    *out = turn * frozen_groups(stage, parameters, before, tower);
out:
    return rc;
}

th_code th_stage_steps(const th_stage *stage, const th_parameters *parameters, int64_t records,
                       const bool *before, int64_t *out, th_err *err)
{
    const th_stage_options *own = &stage->own;
    int64_t                 batch = stage->options.batch, most = 0, image, text;
    th_code                 rc = TH_OK;

    if (stage->options.length.unit != TH_NEVER)
        TH_TRY(th_span_steps("for", stage->options.length, batch, records, &most, err));
    if (own->max.unit != TH_NEVER) {
        int64_t steps;
        TH_TRY(th_span_steps("until.max", own->max, batch, records, &steps, err));
        most = most > 0 && most < steps ? most : steps;
    }
    if (most == 0 && !own->plateau && !own->metric) {
        TH_TRY(thaw_steps(stage, parameters, records, before, TH_IMAGE, &image, err));
        TH_TRY(thaw_steps(stage, parameters, records, before, TH_TEXT_TOWER, &text, err));
        most = image > text ? image : text;
    }
    *out = most;
out:
    return rc == TH_OK ? TH_OK : th_during(err, "laying out stage \"%s\"", own->name);
}

void th_stage_layer_decay(const th_stage *stage, const th_parameters *parameters, double *factor)
{
    const th_map *decay = &stage->own.layer_decay;

    for (int i = 0; i < parameters->row_count; i++) {
        th_tower tower = parameters->rows[i].tower;
        factor[i] = 1;
        for (int k = 0; tower != TH_NO_TOWER && k < decay->count; k++) {
            const char *key = decay->rows[k].key;
            int         above = (int)layers_of(parameters, tower) + 1 -
                        parameters->groups[parameters->rows[i].group].depth;
            if (strcmp(key, tower == TH_IMAGE ? "image" : "text") == 0)
                factor[i] = pow(decay->rows[k].amount, above);
        }
    }
}
