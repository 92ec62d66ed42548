/* launch/verbs/cache.h - the options of `thaw cache build` and `thaw cache rm`. */
#ifndef TH_LAUNCH_VERBS_CACHE_H
#define TH_LAUNCH_VERBS_CACHE_H

#include "base/option.h"

void th_cache_build_verb_options(th_option_set *out_sets, int *out_count);
void th_cache_rm_verb_options(th_option_set *out_sets, int *out_count);

#endif
