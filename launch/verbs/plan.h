/* launch/verbs/plan.h - the options of `thaw plan`. */
#ifndef TH_LAUNCH_VERBS_PLAN_H
#define TH_LAUNCH_VERBS_PLAN_H

#include "base/option.h"

void th_plan_verb_options(th_option_set *out_sets, int *out_count);

#endif
