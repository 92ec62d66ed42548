/* launch/verbs/query.h - the options of `thaw query`. */
#ifndef TH_LAUNCH_VERBS_QUERY_H
#define TH_LAUNCH_VERBS_QUERY_H

#include "base/option.h"

void th_query_verb_options(th_option_set *out_sets, int *out_count);

#endif
