/* dataloader/tokenizer/characters.h - what the tokenizers ask of a character, in one look.
 *
 * The table is filled from utf8proc (Unicode 15) at the first call, for the two planes where nearly
 * all text stands; the rest is asked each time. What the references made of older or newer versions
 * of Unicode is followed where it is a fact of theirs: Hugging Face's BERT knows marks, punctuation
 * and controls as of Unicode 8.
 *
 * Local, any thread. */
#ifndef TH_DATALOADER_TOKENIZER_CHARACTERS_H
#define TH_DATALOADER_TOKENIZER_CHARACTERS_H

#include <stdint.h>

typedef enum {
    TH_CHAR_OTHER,  // marks, punctuation, symbols, controls, unassigned
    TH_CHAR_LETTER, // \p{L}
    TH_CHAR_NUMBER, // \p{N}
    TH_CHAR_SPACE, // White_Space; U+001C..1F, which only Python's str.split() takes for it, are not
} th_char_class;

enum {
    TH_CLASS_BITS = 3,             // the th_char_class
    TH_HAS_LOWER = 1 << 2,         // its lower case is another character
    TH_REPAIRED = 1 << 3,          // changed or dropped by th_text_repair()
    TH_NFC_NEVER = 1 << 4,         // does not occur in NFC
    TH_NFC_MAYBE = 1 << 5,         // may compose with the character before
    TH_COMBINES = 1 << 6,          // its combining class is not 0
    TH_DECOMPOSES = 1 << 7,        // in NFD
    TH_BERT_DROPPED = 1 << 8,      // controls, formats, private use, U+FFFD
    TH_BERT_SPACE = 1 << 9,        // White_Space that is no control, tab and line ends
    TH_BERT_PUNCTUATION = 1 << 10, // \p{P}, and all of ASCII that is no letter, digit or space
    TH_BERT_CHINESE = 1 << 11,     // an ideograph: a word of its own
    TH_BERT_MARK = 1 << 12,        // \p{Mn}: what "strip accents" strips
};

#define TH_TRAITS_TABLE 0x20000u

/* The bits of the first TH_TRAITS_TABLE code points. */
const uint16_t *th_traits_table(void);

/* The bits of any code point. `table` is the above. */
uint16_t th_traits_beyond(uint32_t code);

static inline uint16_t th_traits_of(const uint16_t *table, uint32_t code)
{
    return code < TH_TRAITS_TABLE ? table[code] : th_traits_beyond(code);
}

th_char_class th_char_class_of(uint32_t code);

#endif
