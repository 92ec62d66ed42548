/* launch/verbs/ckpt.h - the options of `thaw ckpt show`. */
#ifndef TH_LAUNCH_VERBS_CKPT_H
#define TH_LAUNCH_VERBS_CKPT_H

#include "base/option.h"

void th_ckpt_show_verb_options(th_option_set *out_sets, int *out_count);

#endif
