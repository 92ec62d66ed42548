/* checkpoint/interchange/foreign_write.h - rows of thaw's table, as files for other programs. */
#ifndef TH_CHECKPOINT_INTERCHANGE_FOREIGN_WRITE_H
#define TH_CHECKPOINT_INTERCHANGE_FOREIGN_WRITE_H

#include "checkpoint/interchange/foreign.h"

/* Writes the rows under the format's names to a .safetensors file, F32. A row that the format does
 * not know is left out; *out_left_out (may be NULL) is the name of one, or NULL. Errors: TH_EUSAGE,
 * TH_EIO. */
TH_MUST_CHECK th_code th_foreign_write(const char *path, th_format format, const th_tensor *rows,
                                       int count, const char **out_left_out, th_err *err);

/* What the configs say of a tokenizer that is written beside them. */
typedef struct {
    bool    there; // false: whoever loads the model takes CLIP's own
    int64_t start, end;
} th_foreign_tokenizer;

/* Writes the config that belongs to such a file, under the names that its program looks for:
 * open_clip_config.json; or config.json and preprocessor_config.json. Both towers, mean and
 * deviation must be set. `bias`: the model has a row
 * logit_bias. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_foreign_config_write(const char *folder, const th_foreign_model *model,
                                              const th_foreign_tokenizer *tokenizer, bool bias,
                                              th_err *err);

#endif
