/* dataloader/tokenizer/tokenizer.h - text to token ids: CLIP's byte pairs and BERT's WordPiece.
 *
 * Text is cleaned (dataloader/tokenizer/clean.h) and split into words (split.h).
 *
 * CLIP: a word is written as bytes in CLIP's byte alphabet, with "</w>" behind the last, and merged
 * by rank. Ids by a merges file alone: 256 bytes, the same 256 with </w>, one per merge in rank
 * order, then start and end of text; or any others that a vocab.json gives. Sennrich et al. 2016,
 * arXiv:1508.07909; Radford et al. 2021.
 *
 * BERT: a word is cut into the longest pieces that the vocabulary has (wordpiece.h).
 *
 * docs/tokenizers.md tells which files are read, and how they compare with the references. */
#ifndef TH_DATALOADER_TOKENIZER_TOKENIZER_H
#define TH_DATALOADER_TOKENIZER_TOKENIZER_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct th_tokenizer th_tokenizer; // immutable once open: any thread may encode

typedef enum {
    TH_TOKENS_CLIP, // byte pairs; a text model pools where the first end of text stands
    TH_TOKENS_BERT, // WordPiece
} th_token_kind;

typedef enum {          // how captions are cleaned for CLIP; BERT's files say it themselves
    TH_CLEANUP_DEFAULT, // open_clip's for a merges file, Hugging Face's for its own files
    TH_CLEANUP_OPEN_CLIP,
    TH_CLEANUP_HF,
    TH_CLEANUP_BERT,
} th_cleanup;

/* "open_clip", "hf" or "bert"; and back from the first two, false for others. */
const char *th_cleanup_name(th_cleanup cleanup);
_Bool       th_cleanup_find(const char *name, th_cleanup *out);

/* From the text of one file, borrowed, whatever its name: CLIP's merges ("#version: ...", or
 * bpe_simple_vocab_16e6.txt, of which CLIP uses 48,894), a tokenizer.json, BERT's vocab.txt; any of
 * them gzipped. Errors: TH_EDATA naming the line or the field; TH_EUSAGE when a cleanup is asked of
 * BERT; TH_EIO. */
TH_MUST_CHECK th_code th_tokenizer_open_as(const char *text, size_t size, th_cleanup cleanup,
                                           th_tokenizer **out, th_err *err);
TH_MUST_CHECK th_code th_tokenizer_open(const char *text, size_t size, th_tokenizer **out,
                                        th_err *err); // TH_CLEANUP_DEFAULT

/* From such a file; a vocab.json, beside which merges.txt stands, or the other way; a folder with
 * tokenizer.json, vocab.json and merges.txt, or vocab.txt; or a pack. A tokenizer_config.json
 * beside a vocab.txt says whether it is cased; without one, a vocabulary that has capitals is. A
 * pack's cleanup is the pack's, unless another is asked for. */
TH_MUST_CHECK th_code th_tokenizer_find(const char *path, th_cleanup cleanup, th_tokenizer **out,
                                        th_err *err);
TH_MUST_CHECK th_code th_tokenizer_open_file(const char *path, th_tokenizer **out,
                                             th_err *err);         // TH_CLEANUP_DEFAULT
void                  th_tokenizer_close(th_tokenizer *tokenizer); // accepts NULL

th_token_kind th_tokenizer_kind(const th_tokenizer *tokenizer);
th_cleanup    th_tokenizer_cleanup(const th_tokenizer *tokenizer);    // never the default
int64_t       th_tokenizer_vocabulary(const th_tokenizer *tokenizer); // every id is below it
int64_t       th_tokenizer_context(const th_tokenizer *tokenizer);    // usual: CLIP 77, BERT 128

/* The ids that stand before and behind a caption: CLIP's start and end of text, BERT's [CLS] and
 * [SEP]. */
int32_t  th_tokenizer_begin(const th_tokenizer *tokenizer);
int32_t  th_tokenizer_end(const th_tokenizer *tokenizer);
uint64_t th_tokenizer_hash(const th_tokenizer *tokenizer); // two alike encode alike

/* Ids of a caption (UTF-8, any bytes: invalid sequences become U+FFFD), without those around it, at
 * most `room`. Returns the number of ids, counted on up to room + 1, so that a cut caption can be
 * told; -1 when memory is out or the caption is over TH_CAPTION_MOST bytes. A caption that spells a
 * special token gets its id, as in the references: "<end_of_text>" in open_clip, "<|endoftext|>" in
 * Hugging Face's CLIP, "[SEP]" in BERT. Time grows as n log n with a word, linearly with the rest.
 * `cache` is one per thread (word -> ids, and memory to work in), or NULL for none; it may change
 * tokenizers. */
#define TH_CAPTION_MOST ((size_t)4 << 20)
typedef struct th_token_cache th_token_cache;
TH_MUST_CHECK th_code         th_token_cache_open(th_token_cache **out, th_err *err);
void                          th_token_cache_close(th_token_cache *cache);
int64_t th_tokenizer_encode(const th_tokenizer *tokenizer, const char *text, size_t size,
                            th_token_cache *cache, int32_t *ids, int64_t room);

/* The bytes that an id stands for, borrowed, and whether it ends a word (CLIP's </w>; BERT's pieces
 * come as they are written, "##ing", and never do); false when there is no such id. */
_Bool th_tokenizer_token(const th_tokenizer *tokenizer, int32_t id, const char **out_bytes,
                         size_t *out_size, _Bool *out_ends);

/* The tokenizer as the text of one file that th_tokenizer_open_as() reads, given the same cleanup,
 * to a tokenizer of the same hash: merges where those say it all, else a tokenizer.json. *out_name
 * is the name for such a file; free() *out_text. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_tokenizer_print(const th_tokenizer *tokenizer, char **out_text,
                                         size_t *out_size, const char **out_name, th_err *err);
#define TH_TOKENIZER_MERGES "tokenizer.bpe"
#define TH_TOKENIZER_JSON   "tokenizer.json"

/* Whether it is CLIP's own, with open_clip's cleanup: what open_clip takes when it is told of none.
 */
_Bool th_tokenizer_is_clips(const th_tokenizer *tokenizer);

/* Writes the files that Hugging Face's from_pretrained() and open_clip read into a folder that is
 * there: tokenizer.json, tokenizer_config.json, special_tokens_map.json, and vocab.json with
 * merges.txt, or vocab.txt. A tokenizer.json always cleans as Hugging Face does. `context` is that
 * of the model: the most ids of a caption, with those around it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_tokenizer_write_hf(const th_tokenizer *tokenizer, const char *folder,
                                            int64_t context, th_err *err);

/* Trains merges on captions until the vocabulary has `vocabulary` entries or no pair occurs twice.
 * `next` gives the captions one by one (false: no more). Deterministic: equal counts are broken by
 * the pair's byte strings, left before right. *out_merges is the text of a merges file: free() it.
 * Errors: TH_EUSAGE when vocabulary < 514 or too large or a caption is over TH_CAPTION_MOST bytes,
 * TH_EDATA when there are no captions, TH_EIO. */
typedef _Bool (*th_next_caption)(void *context, const char **text, size_t *size);
TH_MUST_CHECK th_code th_tokenizer_train(th_next_caption next, void *context, int64_t vocabulary,
                                         th_cleanup cleanup, char **out_merges, size_t *out_size,
                                         th_err *err);

#endif
