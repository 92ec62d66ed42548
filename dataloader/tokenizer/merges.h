/* dataloader/tokenizer/merges.h - the text of a merges file, in CLIP's format, read and written. */
#ifndef TH_DATALOADER_TOKENIZER_MERGES_H
#define TH_DATALOADER_TOKENIZER_MERGES_H

#include "base/error.h"
#include "dataloader/tokenizer/bpe.h"
#include <stddef.h>
#include <stdint.h>

/* Reads all merges of a file into *bpe, ready to encode; th_bpe_close() it on success only.
 * *out_hash is that of the merges, whatever the first line says. Errors: TH_EDATA naming the line,
 * TH_EIO. */
TH_MUST_CHECK th_code th_merges_read(const char *text, size_t size, th_bpe *bpe, uint64_t *out_hash,
                                     th_err *err);

/* Writes a file of `count` merges: pairs[2 i] and pairs[2 i + 1] are left and right of rank i.
 * *out_text is zero-terminated (not counted): free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_merges_write(const th_symbols *symbols, const uint32_t *pairs,
                                      size_t count, char **out_text, size_t *out_size, th_err *err);

#endif
