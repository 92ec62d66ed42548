/* launch/verbs/export.h - the options of `thaw export`. */
#ifndef TH_LAUNCH_VERBS_EXPORT_H
#define TH_LAUNCH_VERBS_EXPORT_H

#include "base/option.h"

void th_export_verb_options(th_option_set *out_sets, int *out_count);

#endif
