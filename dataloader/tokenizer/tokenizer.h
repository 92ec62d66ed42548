/* dataloader/tokenizer/tokenizer.h - text to token ids: CLIP's byte-pair scheme.
 *
 * Text is cleaned (dataloader/tokenizer/unicode.h), split into words by CLIP's pattern, written as
 * bytes in CLIP's byte alphabet with "</w>" behind a word's last byte, and merged by rank. Ids: 256
 * bytes, the same 256 with </w>, one per merge in rank order, then SOT and EOT. Sennrich et al.
 * 2016, arXiv:1508.07909; Radford et al. 2021. A tokenizer is its merges file, in the format of
 * CLIP's bpe_simple_vocab: a first line "#version: ...", then "left right" a line. */
#ifndef TH_DATALOADER_TOKENIZER_TOKENIZER_H
#define TH_DATALOADER_TOKENIZER_TOKENIZER_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct th_tokenizer th_tokenizer; // immutable once open: any thread may encode

/* From the text of a merges file, borrowed. Errors: TH_EDATA naming the line. */
TH_MUST_CHECK th_code th_tokenizer_open(const char *merges, size_t size, th_tokenizer **out,
                                        th_err *err);
TH_MUST_CHECK th_code th_tokenizer_open_file(const char *path, th_tokenizer **out, th_err *err);
void                  th_tokenizer_close(th_tokenizer *tokenizer); // accepts NULL

typedef enum {
    TH_TOKENS_CLIP, // byte pairs; a text model pools where the first end of text stands
    TH_TOKENS_BERT, // WordPiece
} th_token_kind;

th_token_kind th_tokenizer_kind(const th_tokenizer *tokenizer);
int64_t       th_tokenizer_vocabulary(const th_tokenizer *tokenizer); // every id is below it

/* The ids that stand before and behind a caption: CLIP's start and end of text, BERT's [CLS] and
 * [SEP]. */
int32_t  th_tokenizer_begin(const th_tokenizer *tokenizer);
int32_t  th_tokenizer_end(const th_tokenizer *tokenizer);
uint64_t th_tokenizer_hash(const th_tokenizer *tokenizer); // of the merges: two alike encode alike

/* Ids of a caption (UTF-8, any bytes: invalid sequences become U+FFFD), without those around it, at
 * most `room`. Returns the number of ids, counted on up to room + 1, so that a cut caption can be
 * told; -1 when memory is out or the caption is over TH_CAPTION_MOST bytes. A caption that spells
 * "<|endoftext|>" gets that id, as in CLIP. Time grows as n log n with a word, linearly with the
 * rest. `cache` is one per thread (word -> ids, and memory to work in), or NULL for none; it may
 * change tokenizers. */
#define TH_CAPTION_MOST ((size_t)4 << 20)
typedef struct th_token_cache th_token_cache;
TH_MUST_CHECK th_code         th_token_cache_open(th_token_cache **out, th_err *err);
void                          th_token_cache_close(th_token_cache *cache);
int64_t th_tokenizer_encode(const th_tokenizer *tokenizer, const char *text, size_t size,
                            th_token_cache *cache, int32_t *ids, int64_t room);

/* The bytes that an id stands for, borrowed, and whether it ends a word; false when there is no
 * such id. */
_Bool th_tokenizer_token(const th_tokenizer *tokenizer, int32_t id, const char **out_bytes,
                         size_t *out_size, _Bool *out_ends);

/* Trains merges on captions until the vocabulary has `vocabulary` entries or no pair occurs twice.
 * `next` gives the captions one by one (false: no more). Deterministic: equal counts are broken by
 * the pair's byte strings, left before right. *out_merges is the text of a merges file: free() it.
 * Errors: TH_EUSAGE when vocabulary < 514 or too large or a caption is over TH_CAPTION_MOST bytes,
 * TH_EDATA when there are no captions, TH_EIO. */
typedef _Bool (*th_next_caption)(void *context, const char **text, size_t *size);
TH_MUST_CHECK th_code th_tokenizer_train(th_next_caption next, void *context, int64_t vocabulary,
                                         char **out_merges, size_t *out_size, th_err *err);

#endif
