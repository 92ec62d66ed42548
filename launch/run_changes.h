/* launch/run_changes.h - may a run go on with an edited run file? */
#ifndef TH_LAUNCH_RUN_CHANGES_H
#define TH_LAUNCH_RUN_CHANGES_H

#include "trainer/schedule/stage.h"

/* Compares a run file with the one that the run directory knows (th_run_directory_open says by
 * which rule). Errors: TH_EUSAGE naming the option and both values; TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_run_changes(const char *run_folder, const th_schedule *now,
                                     bool accept_changes, th_err *err);

#endif
