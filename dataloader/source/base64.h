/* dataloader/source/base64.h - bytes out of base64 (RFC 4648). */
#ifndef TH_DATALOADER_SOURCE_BASE64_H
#define TH_DATALOADER_SOURCE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes into out, which has room for size / 4 * 3 + 3 bytes and may be `text` itself. Both
 * alphabets
 * (+/ and -_), padded or not. False for anything else: other bytes, one letter left over, bytes
 * behind the padding. */
bool th_base64_decode(const char *text, size_t size, unsigned char *out, size_t *out_size);

#endif
