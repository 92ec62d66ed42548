/* dataloader/tokenizer/specials.h - tokens that a caption may spell out: "[SEP]", "<|endoftext|>".
 *
 * Hugging Face finds them before all else and gives them their id. One that is `normalized` is
 * looked for in the cleaned caption, the others in the caption as it came. */
#ifndef TH_DATALOADER_TOKENIZER_SPECIALS_H
#define TH_DATALOADER_TOKENIZER_SPECIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_SPECIALS_MOST 32
#define TH_SPECIAL_BYTES 64 // of one, with its zero

typedef struct {
    struct th_special {
        char    text[TH_SPECIAL_BYTES];
        size_t  size; // at least 1
        int32_t id;
        bool    normalized;
    } rows[TH_SPECIALS_MOST];
    int  count;
    char first[2]
              [TH_SPECIALS_MOST + 1]; // their first bytes, each once; [1]: of the normalized ones
} th_specials;

/* The first special token in a text, of those that start at one place the longest; NULL when there
 * is none. *out_at = where it starts. Local, any thread. */
const struct th_special *th_specials_next(const th_specials *specials, bool normalized,
                                          const char *text, size_t size, size_t *out_at);

/* Adds one; false when there is no room for it. */
bool th_specials_add(th_specials *specials, const char *text, int32_t id, bool normalized);

/* The id of a token, or -1. */
int32_t th_specials_find(const th_specials *specials, const char *text, size_t size);

#endif
