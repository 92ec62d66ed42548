/* dataloader/tokenizer/unicode.h - UTF-8, to code points and back.
 *
 * Local, any thread. */
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

#endif
