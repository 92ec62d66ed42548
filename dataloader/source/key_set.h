/* dataloader/source/key_set.h - which keys were seen, as 64-bit hashes: 16 to 32 bytes a key.
 *
 * Two keys of one hash would be taken for one: among a million keys of a tar, one chance in 4e7. */
#ifndef TH_DATALOADER_SOURCE_KEY_SET_H
#define TH_DATALOADER_SOURCE_KEY_SET_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *slots; // 0: free
    size_t    room, count;
} th_key_set;

/* *out_new is false when the key was there. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_key_set_add(th_key_set *set, const char *key, bool *out_new, th_err *err);
void                  th_key_set_clear(th_key_set *set); // gives its memory back too

#endif
