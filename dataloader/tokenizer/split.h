/* dataloader/tokenizer/split.h - a cleaned caption into words, by CLIP's pattern:
 *
 *     <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd
 *     | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
 *
 * The first alternative that fits at a place is taken, as long as it gets. So a number is a word
 * for each digit, and combining marks (Hindi's vowel signs among them) are words apart from
 * letters. */
#ifndef TH_DATALOADER_TOKENIZER_SPLIT_H
#define TH_DATALOADER_TOKENIZER_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { TH_WORD_TEXT, TH_WORD_SOT, TH_WORD_EOT } th_word_kind;

typedef struct {
    const char  *text; // inside the caption, borrowed
    size_t       size; // at least 1
    th_word_kind kind;
} th_word;

/* The next word from *at on, which moves behind it; false when none is left. The caption must be
 * what th_text_clean() returned. Local, any thread. */
bool th_word_next(const char **at, const char *end, th_word *word);

#endif
