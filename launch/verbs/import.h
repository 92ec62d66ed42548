/* launch/verbs/import.h - the options of `thaw import`. */
#ifndef TH_LAUNCH_VERBS_IMPORT_H
#define TH_LAUNCH_VERBS_IMPORT_H

#include "base/option.h"

void th_import_verb_options(th_option_set *out_sets, int *out_count);

#endif
