/* dataloader/tokenizer/unzip.h - gzip in memory: CLIP's merges come so. */
#ifndef TH_DATALOADER_TOKENIZER_UNZIP_H
#define TH_DATALOADER_TOKENIZER_UNZIP_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

bool th_is_gzip(const char *bytes, size_t size);

/* *out is zero-terminated (not counted): free() it. Errors: TH_EDATA when it is damaged, or over
 * limit_bytes long; TH_EIO. */
TH_MUST_CHECK th_code th_unzip(const char *bytes, size_t size, size_t limit_bytes, char **out,
                               size_t *out_size, th_err *err);

#endif
