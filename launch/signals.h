/* launch/signals.h - USR1, TERM and INT ask a run to stop; a second one ends the process at once.
 * USR2 asks too, and any number of times. */
#ifndef TH_LAUNCH_SIGNALS_H
#define TH_LAUNCH_SIGNALS_H

#include "base/error.h"
#include <stdbool.h>

/* Errors: TH_EIO. */
TH_MUST_CHECK th_code th_signals_install(th_err *err);

/* Has one come since? Safe anywhere. */
bool th_signals_stop_asked(void);

#endif
