/* dataloader/tokenizer/unicode.h - UTF-8, and captions as CLIP wants to see them.
 *
 * Cleaning is open_clip's: HTML entities are unescaped twice (dataloader/tokenizer/entity.h), runs
 * of white space become one space, the ends are stripped, and everything is lower case. White space
 * and lower case are Python's, as open_clip is: U+001C..U+001F are white space, U+0130 becomes two
 * characters, a capital sigma at the end of a word becomes the final one. Invalid UTF-8 becomes
 * U+FFFD, one for each longest prefix of a valid sequence (Unicode 15, section 3.9). What open_clip
 * calls ftfy for (repairing text that was decoded wrongly, composing to NFC) is not done.
 *
 * Categories come from utf8proc. All functions are local and safe in any thread. */
#ifndef TH_DATALOADER_TOKENIZER_UNICODE_H
#define TH_DATALOADER_TOKENIZER_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#define TH_REPLACEMENT 0xFFFDu

/* The code point at *at, which moves behind it; *at < end. Never reads at or behind `end`. */
uint32_t th_utf8_next(const unsigned char **at, const unsigned char *end);

/* Writes a code point (a scalar value: no surrogate, at most 0x10FFFF); returns its 1 to 4 bytes.
 */
size_t th_utf8_put(uint32_t code, char out[4]);

typedef enum {
    TH_CHAR_OTHER,  // marks, punctuation, symbols, controls, unassigned
    TH_CHAR_LETTER, // \p{L}
    TH_CHAR_NUMBER, // \p{N}
    TH_CHAR_SPACE,  // what Python's str.split() splits at
} th_char_class;

th_char_class th_char_class_of(uint32_t code);

/* Cleans a caption of any bytes into `out`, which has room for TH_CLEAN_ROOM(size) bytes; `work` is
 * scratch of `size` bytes. Returns the bytes written, valid UTF-8. Linear in size. */
#define TH_CLEAN_ROOM(size) (3 * (size)) // a stray byte becomes U+FFFD: three bytes
size_t th_text_clean(const char *text, size_t size, char *work, char *out);

#endif
