/* dataloader/tokenizer/split.h - a cleaned caption into words.
 *
 * CLIP's by its pattern; the first alternative that fits at a place is taken, as long as it gets:
 *
 *     START | END | 's | 't | 're | 've | 'm | 'll | 'd | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
 *
 * So a number is a word for each digit, and combining marks (Hindi's vowel signs among them) are
 * words apart from letters. open_clip spells START and END "<start_of_text>" and "<end_of_text>",
 * which are tokens then, and matches without regard to case, which after lower case leaves the long
 * s for an s, and U+0345 in no class at all. Hugging Face's tokenizer.json may spell them
 * "<|startoftext|>" and "<|endoftext|>", and cuts such a one, which it takes for text, into three
 * words; what transformers makes of a vocab.json has neither.
 *
 * BERT's words stand between the spaces that its cleaning leaves. */
#ifndef TH_DATALOADER_TOKENIZER_SPLIT_H
#define TH_DATALOADER_TOKENIZER_SPLIT_H

#include "dataloader/tokenizer/clean.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum { TH_WORD_TEXT, TH_WORD_START, TH_WORD_END } th_word_kind;

typedef struct {
    const char  *text; // inside the caption, borrowed
    size_t       size; // at least 1
    th_word_kind kind;
} th_word;

typedef struct {
    th_cleanup  kind;
    bool        cuts_specials; // Hugging Face's pattern has them
    const char *at, *end;      // what is left of the caption
    const char *cut; // a word ends here at the latest, when it begins before; NULL: nowhere
} th_splitter;

/* The next word; false when none is left. The caption must be what th_text_clean() returned. Local,
 * any thread. */
bool th_word_next(th_splitter *splitter, th_word *out);

#endif
