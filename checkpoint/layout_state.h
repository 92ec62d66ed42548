/* checkpoint/layout_state.h - the attributes of /state: one table for writing and reading. */
#ifndef TH_CHECKPOINT_LAYOUT_STATE_H
#define TH_CHECKPOINT_LAYOUT_STATE_H

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include <hdf5.h>

#define TH_LAYOUT_FORMAT 1

TH_MUST_CHECK th_code th_layout_state_write(hid_t file, const th_saved_state *state, th_err *err);
/* Errors: TH_EDATA: another format, a field that is missing or of another type. */
TH_MUST_CHECK th_code th_layout_state_read(hid_t file, th_saved_state *out, th_err *err);

#endif
