/* dataloader/tokenizer/tokenizer_private.h - what a tokenizer is, for the files that read, use and
 * write one. */
#ifndef TH_DATALOADER_TOKENIZER_TOKENIZER_PRIVATE_H
#define TH_DATALOADER_TOKENIZER_TOKENIZER_PRIVATE_H

#include "dataloader/tokenizer/bpe.h"
#include "dataloader/tokenizer/clean.h"
#include "dataloader/tokenizer/specials.h"
#include "dataloader/tokenizer/tokenizer.h"
#include "dataloader/tokenizer/wordpiece.h"
#include <jansson.h>

#define TH_TOKENIZER_BYTES ((size_t)64 << 20) // longest file; CLIP's largest has 4 MB

#define TH_BERT_UNKNOWN    "[UNK]"
#define TH_BERT_CHARACTERS 100 // of the longest word that is cut
#define TH_CLIP_START      "<|startoftext|>"
#define TH_CLIP_END        "<|endoftext|>"

/* The regular expressions that split.h's words stand for: [1] is that which cuts specials. */
extern const char *const th_clip_patterns[2];

struct th_tokenizer {
    th_token_kind kind;
    th_cleaner    cleaner;
    th_specials   specials; // what stands around a caption among them
    int32_t       begin, end, vocabulary;
    int32_t       unknown; // the id of what the vocabulary has not; -1: CLIP's has every byte
    uint64_t      hash;
    // CLIP's
    th_bpe   bpe;
    int32_t *symbol; // [vocabulary] id -> symbol; -1 for specials and ids that are not used
    char    *merges; // the lines of the merges file, without the first
    size_t   merges_size;
    bool     is_plain;      // the ids are those of the merges file alone
    bool     cuts_specials; // as th_splitter's
    // BERT's
    th_wordpiece pieces;
};

/* The parts that th_tokenizer_open_as() is made of; each fills a zeroed tokenizer, which its caller
 * closes. Errors: as there. */

/* Merges with their own ids. */
TH_MUST_CHECK th_code th_tokenizer_read_merges(th_tokenizer *tokenizer, const char *text,
                                               size_t size, th_err *err);
/* Merges with the ids of a vocabulary, an object of token -> id. `unknown` (NULL: none) is the
 * token of bytes that are not in it. The specials are in the tokenizer already. */
TH_MUST_CHECK th_code th_tokenizer_read_vocabulary(th_tokenizer *tokenizer, const char *merges,
                                                   size_t size, const json_t *vocabulary,
                                                   const char *unknown, th_err *err);
/* BERT's list, one token a line. `cased`: 1 or 0, or -1 for whether it has capitals. */
TH_MUST_CHECK th_code th_tokenizer_read_list(th_tokenizer *tokenizer, const char *text, size_t size,
                                             int cased, th_err *err);
TH_MUST_CHECK th_code th_tokenizer_read_json(th_tokenizer *tokenizer, const char *text, size_t size,
                                             th_err *err);

/* Whether a string is encoded to this id: of several ids with one string only one counts, and files
 * have no place for the others. `bytes` are those of th_tokenizer_token(). */
bool th_tokenizer_counts(const th_tokenizer *tokenizer, int32_t id, const char *bytes, size_t size);

/* Sets what follows from the rest, cleanup among it: the last step of reading. */
TH_MUST_CHECK th_code th_tokenizer_finish(th_tokenizer *tokenizer, th_cleanup cleanup, th_err *err);

#endif
