/* launch/verbs/doctor.h - the options of `thaw doctor`. */
#ifndef TH_LAUNCH_VERBS_DOCTOR_H
#define TH_LAUNCH_VERBS_DOCTOR_H

#include "base/option.h"

void th_doctor_verb_options(th_option_set *out_sets, int *out_count);

#endif
