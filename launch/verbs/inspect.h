/* launch/verbs/inspect.h - the options of `thaw inspect`. */
#ifndef TH_LAUNCH_VERBS_INSPECT_H
#define TH_LAUNCH_VERBS_INSPECT_H

#include "base/option.h"

void th_inspect_verb_options(th_option_set *out_sets, int *out_count);

#endif
