/* base/hash.h - XXH3-64 (libxxhash): finds damage, does not withstand malice. */
#ifndef TH_BASE_HASH_H
#define TH_BASE_HASH_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

uint64_t th_hash(const void *bytes, size_t size);

typedef struct th_hasher th_hasher; // a running hash

TH_MUST_CHECK th_code th_hasher_open(th_hasher **out, th_err *err);
void                  th_hasher_close(th_hasher *hasher); // accepts NULL
void                  th_hasher_add(th_hasher *hasher, const void *bytes, size_t size);
uint64_t              th_hasher_value(const th_hasher *hasher);

/* Hash of a whole file, read in pieces; out_bytes (may be NULL) is its size. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_hash_file(const char *path, uint64_t *out_hash, uint64_t *out_bytes,
                                   th_err *err);

/* Hash of the first head_bytes of a file. Errors: TH_EDATA when it is shorter, TH_EIO. */
TH_MUST_CHECK th_code th_hash_file_head(const char *path, uint64_t head_bytes, uint64_t *out_hash,
                                        th_err *err);

#define TH_HASH_TEXT 17 // 16 hexadecimal digits and the zero
void th_hash_print(uint64_t hash, char out[TH_HASH_TEXT]);
/* Reads what th_hash_print wrote; false when it is not exactly that. */
_Bool th_hash_parse(const char *text, uint64_t *out);

#endif
