/* launch/verbs/tokenize.h - the options of `thaw tokenize`. */
#ifndef TH_LAUNCH_VERBS_TOKENIZE_H
#define TH_LAUNCH_VERBS_TOKENIZE_H

#include "base/option.h"

void th_tokenize_verb_options(th_option_set *out_sets, int *out_count);

#endif
