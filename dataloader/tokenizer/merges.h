/* dataloader/tokenizer/merges.h - the text of a merges file, in CLIP's format, read and written. */
#ifndef TH_DATALOADER_TOKENIZER_MERGES_H
#define TH_DATALOADER_TOKENIZER_MERGES_H

#include "base/error.h"
#include "dataloader/tokenizer/bpe.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads all merges of a file into *bpe, ready to encode with the ids of their order. Of CLIP's own
 * bpe_simple_vocab_16e6.txt, which its first line names, the first TH_CLIP_MERGES: the others were
 * never used. *out_lines (free() it) are the merges read, a line each, without the first line of
 * the file and without the last line's end. Errors: TH_EDATA naming the line, TH_EIO. Both results
 * are given on success only. */
#define TH_CLIP_MERGES 48894
TH_MUST_CHECK th_code th_merges_read(const char *text, size_t size, th_bpe *bpe, char **out_lines,
                                     size_t *out_lines_size, th_err *err);

/* Writes a file of `count` merges: pairs[2 i] and pairs[2 i + 1] are left and right of rank i.
 * *out_text is zero-terminated (not counted): free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_merges_write(const th_symbols *symbols, const uint32_t *pairs,
                                      size_t count, char **out_text, size_t *out_size, th_err *err);

/* Writes a symbol as such a file has it. What goes wrong, the stream remembers. */
void th_symbol_write(FILE *file, const th_symbols *symbols, uint32_t symbol);

/* The symbol that is written so, or TH_NO_SYMBOL. `bytes` is scratch of `size` bytes. */
uint32_t th_symbol_read(const th_symbols *symbols, const char *text, size_t size, char *bytes);

#endif
