/* dataloader/tokenizer/wordpiece.h - BERT's vocabulary, and one word cut into its pieces.
 *
 * From a word's start on the longest token that fits is taken, again and again; all but the first
 * are written with "##" before them. A word that cannot be cut so, or has over `most_characters`,
 * is unknown as a whole. The tokens stand in two tries, so a word takes time linear in its pieces'
 * lengths. Wu et al. 2016, arXiv:1609.08144; Devlin et al. 2018, arXiv:1810.04805. */
#ifndef TH_DATALOADER_TOKENIZER_WORDPIECE_H
#define TH_DATALOADER_TOKENIZER_WORDPIECE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define TH_PIECES_MOST (1 << 20) // ids
#define TH_NO_TOKEN    (-1)

typedef struct {
    struct th_piece {
        size_t   at;   // in bytes
        uint32_t size; // 0: no token has this id
    } * rows;          // [count] by id
    char     *bytes;   // of all tokens, back to back, as they are written
    uint64_t *slots;   // edges, open addressing: parent 21 bits, character 21, child 21; 0: none
    size_t    bytes_used, slot_mask;
    uint32_t  count, nodes;
    int32_t   unknown;
    int64_t   most_characters;
} th_wordpiece; // immutable once open: any thread may cut

/* A token and its id, of the list that a vocabulary is opened from. */
typedef struct {
    const char *text;
    size_t      size;
    int32_t     id;
} th_token_row;

/* `rows` is borrowed; equal strings: the last one's id counts. Errors: TH_EDATA (an id below 0 or
 * from TH_PIECES_MOST on, or twice; no `unknown` among them; over 16 million bytes or 2 million
 * beginnings), TH_EIO. Close it on success only. */
TH_MUST_CHECK th_code th_wordpiece_open(const th_token_row *rows, size_t count, const char *unknown,
                                        int64_t most_characters, th_wordpiece *out, th_err *err);
void                  th_wordpiece_close(th_wordpiece *pieces); // accepts a zeroed one

/* The id of a token, or TH_NO_TOKEN. */
int32_t th_wordpiece_find(const th_wordpiece *pieces, const char *text, size_t size);

/* The ids of a word of size >= 1 bytes, valid UTF-8; `ids` has room for `size`. Returns how many.
 */
int64_t th_wordpiece_word(const th_wordpiece *pieces, const char *word, size_t size, int32_t *ids);

#endif
