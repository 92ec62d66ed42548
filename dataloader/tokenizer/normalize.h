/* dataloader/tokenizer/normalize.h - Unicode's canonical normal forms (UAX 15), on code points.
 *
 * utf8proc knows how characters come apart and together, but it sorts marks by exchanging
 * neighbours: a megabyte of them would take hours. Here a long run is sorted by counting, so that
 * time is linear in the text. Local, any thread. */
#ifndef TH_DATALOADER_TOKENIZER_NORMALIZE_H
#define TH_DATALOADER_TOKENIZER_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_NORMAL_ROOM(count) (4 * (count)) // no character comes apart into more than four

/* NFD of `count` code points (scalar values) into `out`, which has room for TH_NORMAL_ROOM(count);
 * `work` has too. Returns how many there are. */
size_t th_normalize_nfd(const uint32_t *codes, size_t count, uint32_t *work, uint32_t *out);

/* The same for NFC. */
size_t th_normalize_nfc(const uint32_t *codes, size_t count, uint32_t *work, uint32_t *out);

/* Whether two neighbours are one character in NFC. */
bool th_normalize_joins(uint32_t left, uint32_t right);

#endif
