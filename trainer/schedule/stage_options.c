#include "trainer/schedule/stage.h"

#include <string.h>

#define OPT(label, field, ...)                                                                     \
    TH_OPTION(th_stage_options, label, field, .when = TH_PER_STAGE, .since = "0.2", __VA_ARGS__)

// Sorted by name, as th_options_check demands. The options of a run that may differ by stage
// (th_train_table) stand in a stage beside these.
const th_option th_stage_table[] = {
    OPT("freeze", freeze, .help = "patterns of parameters that stop training here"),
    OPT("layer_decay.*", layer_decay,
        .help = "of a tower: each group below its top has this factor of the rate above it"),
    OPT("lr.over", rate_over, .fallback = "stage", .choices = "stage run",
        .help = "warm-up and shape begin anew in each stage, or go on over the whole run"),
    OPT("moments", moments, .fallback = "auto", .choices = "auto keep drop",
        .help = "moments of what freezes; auto: kept while a later stage trains it"),
    OPT("name", name, .help = "name of the stage, in metrics and log"),
    OPT("train", train, .help = "patterns of parameters that train: replaces the set"),
    OPT("unfreeze", unfreeze, .help = "patterns of parameters that begin to train here"),
    OPT("unfreeze.from", unfreeze_from, .fallback = "top", .choices = "top bottom",
        .help = "gradual unfreezing: where it begins"),
    OPT("unfreeze.image.from", image.from, .fallback = "top", .choices = "top bottom",
        .help = "the same of the image tower"),
    OPT("unfreeze.image.one_group_every", image.every,
        .help = "the image tower thaws a group at the start, and one more each time"),
    OPT("unfreeze.one_group_every", unfreeze_every,
        .help =
            "gradual unfreezing of unfreeze.tower: a group at the start, and one more each time"),
    OPT("unfreeze.text.from", text.from, .fallback = "top", .choices = "top bottom",
        .help = "the same of the text tower"),
    OPT("unfreeze.text.one_group_every", text.every,
        .help = "the text tower thaws a group at the start, and one more each time"),
    OPT("unfreeze.tower", unfreeze_tower, .choices = "image text",
        .help = "gradual unfreezing: which tower"),
    OPT("unfreeze.warmup", thaw_warmup,
        .help = "warm-up of a group that thaws within the stage; by default a tenth of its turn"),
    OPT("until.above", above, .fallback = "1e300", .help = "ends when until.metric is above this"),
    OPT("until.below", below, .fallback = "-1e300", .help = "ends when until.metric is below this"),
    OPT("until.max", max, .help = "ends here at the latest"),
    OPT("until.metric", metric, .help = "metric that has a threshold, val/loss for instance"),
    OPT("until.min", min, .help = "does not end before"),
    OPT("until.min_delta", min_delta, .fallback = "0", .max = 1e9,
        .help = "a smaller gain does not count as one"),
    OPT("until.patience", patience, .fallback = "3", .min = 1, .max = 1e9,
        .help = "values without a gain after which a plateau is one"),
    OPT("until.plateau", plateau, .help = "ends when this metric no longer gets better"),
};
const int th_stage_table_count = sizeof th_stage_table / sizeof *th_stage_table;
