/* checkpoint/interchange/foreign_config.h - the config beside foreign weights. Private to this
 * folder. */
#ifndef TH_CHECKPOINT_INTERCHANGE_FOREIGN_CONFIG_H
#define TH_CHECKPOINT_INTERCHANGE_FOREIGN_CONFIG_H

#include "checkpoint/interchange/foreign.h"
#include <jansson.h>

/* Reads the config that belongs to tensors of this format: open_clip_config.json; config.json with
 * preprocessor_config.json (CLIPModel), or with sentence-transformers' 1_Pooling/config.json
 * (BertModel). *out_found is false, and *out untouched, when the folder does not have it. Sizes
 * that it leaves out are its program's defaults; a tower is present when the config has one.
 * Errors: TH_EUSAGE naming the field that thaw cannot follow, TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_foreign_config_read(const char *folder, th_format format,
                                             th_foreign_model *out, bool *out_found, th_err *err);

/* The same of each program, from JSON. `pool` is NULL where there is none: the feature is the first
 * token's then. */
TH_MUST_CHECK th_code th_config_open_clip(const json_t *root, th_foreign_model *out, th_err *err);
TH_MUST_CHECK th_code th_config_clip(const json_t *root, th_foreign_model *out, th_err *err);
TH_MUST_CHECK th_code th_config_bert(const json_t *root, const json_t *pool, th_foreign_model *out,
                                     th_err *err);

/* Mean and deviation of pixels, where both are three numbers. */
void th_config_pixels(const json_t *mean, const json_t *deviation, th_foreign_model *out);

#endif
