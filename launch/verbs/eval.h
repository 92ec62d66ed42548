/* launch/verbs/eval.h - the options of `thaw eval`. */
#ifndef TH_LAUNCH_VERBS_EVAL_H
#define TH_LAUNCH_VERBS_EVAL_H

#include "base/option.h"

void th_eval_verb_options(th_option_set *out_sets, int *out_count);

#endif
