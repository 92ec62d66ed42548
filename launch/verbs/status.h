/* launch/verbs/status.h - the options of `thaw status`. */
#ifndef TH_LAUNCH_VERBS_STATUS_H
#define TH_LAUNCH_VERBS_STATUS_H

#include "base/option.h"

void th_status_verb_options(th_option_set *out_sets, int *out_count);

#endif
