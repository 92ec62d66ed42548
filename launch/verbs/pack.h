/* launch/verbs/pack.h - the options of `thaw pack`. */
#ifndef TH_LAUNCH_VERBS_PACK_H
#define TH_LAUNCH_VERBS_PACK_H

#include "base/option.h"

void th_pack_verb_options(th_option_set *out_sets, int *out_count);

#endif
