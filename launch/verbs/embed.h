/* launch/verbs/embed.h - the options of `thaw embed`. */
#ifndef TH_LAUNCH_VERBS_EMBED_H
#define TH_LAUNCH_VERBS_EMBED_H

#include "base/option.h"

void th_embed_verb_options(th_option_set *out_sets, int *out_count);

#endif
