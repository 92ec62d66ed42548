/* dataloader/tokenizer/clean.h - captions as a tokenizer wants to see them.
 *
 * open_clip's, for CLIP: what ftfy repairs (dataloader/tokenizer/repair.h), HTML entities unescaped
 * twice, runs of white space as one space, lower case as Python has it: U+0130 becomes two
 * characters, a capital sigma at the end of a word the final one.
 *
 * Hugging Face's, for CLIP: NFC, white space, lower case of each character for itself. Entities
 * stay.
 *
 * BERT's: controls dropped, ideographs and punctuation words of their own, accents stripped by NFD,
 * lower case. Words come out with a space between them.
 *
 * In all of them invalid UTF-8 becomes U+FFFD, one for each longest prefix of a valid sequence
 * (Unicode 15, section 3.9), as in Python's decode(errors="replace"). Linear in size. */
#ifndef TH_DATALOADER_TOKENIZER_CLEAN_H
#define TH_DATALOADER_TOKENIZER_CLEAN_H

#include "dataloader/tokenizer/repair.h"
#include "dataloader/tokenizer/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    th_cleanup kind;
    // BERT's, under the names of Hugging Face's BertNormalizer.
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
} th_cleaner;

typedef struct { // what one thread cleans in: starts zeroed
    th_scratch     text, plain, codes[3];
    th_repair_room repair;
} th_clean_room;

void th_clean_room_done(th_clean_room *room);

/* Cleans a caption of any bytes. The result is valid UTF-8, in the room until its next use; NULL
 * when memory is out. Any thread. */
const char *th_text_clean(const th_cleaner *cleaner, const char *text, size_t size,
                          th_clean_room *room, size_t *out_size);

/* The part of it that is BERT's (clean_bert.c): the bytes written to `out`, which has room for
 * TH_BERT_ROOM(size), or SIZE_MAX when the text must be in NFD first: marks stand in another order
 * there, and some are kept. `decomposed`: it is, and ideographs stand apart. */
#define TH_BERT_ROOM(size) (3 * (size) + 8) // a Hangul syllable becomes three letters
size_t th_clean_bert(const th_cleaner *cleaner, bool decomposed, const unsigned char *text,
                     size_t size, char *out);

#endif
