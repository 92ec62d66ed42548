/* launch/verbs/train.h - the options of `thaw train`, which other verbs that read a run file share.
 */
#ifndef TH_LAUNCH_VERBS_TRAIN_H
#define TH_LAUNCH_VERBS_TRAIN_H

#include "base/option.h"

void th_train_verb_options(th_option_set *out_sets, int *out_count);

#endif
