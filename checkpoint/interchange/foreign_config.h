/* checkpoint/interchange/foreign_config.h - the config beside foreign weights. */
#ifndef TH_CHECKPOINT_INTERCHANGE_FOREIGN_CONFIG_H
#define TH_CHECKPOINT_INTERCHANGE_FOREIGN_CONFIG_H

#include "checkpoint/interchange/foreign.h"

/* Reads the config that belongs to tensors of this format: open_clip_config.json, or config.json
 * with preprocessor_config.json beside it. *out_found is false, and *out untouched, when the folder
 * does not have it. Sizes that it leaves out are its program's defaults; a tower is present when
 * the config has one. Errors: TH_EUSAGE naming the field that thaw cannot follow, TH_EDATA, TH_EIO.
 */
TH_MUST_CHECK th_code th_foreign_config_read(const char *folder, th_format format,
                                             th_foreign_model *out, bool *out_found, th_err *err);

#endif
