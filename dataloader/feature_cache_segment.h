/* dataloader/feature_cache_segment.h - one file of cached rows, whole or not there.
 *
 * Little-endian, no padding; the rows' own bytes are as they were given:
 *     "TFEA"  u32 version = 1  u64 cache key  u64 row_bytes  u64 rows  u64 XXH3-64 of the keys
 *     u64 XXH3-64 of the 40 bytes before
 *     rows x { u64 item, u32 view, u32 zero }                        the keys
 *     rows x { row_bytes, u64 XXH3-64 of (key, XXH3-64 of the row) }  the rows
 * The name ends in the hash of the header: files of equal names have equal keys.
 *
 * Not LMDB: its pages have no checksums and are mapped, so that each file would need what
 * dataloader/shard_tree.h does before it may be read, and a file cut short meanwhile would end the
 * process. Rows of one size need no tree. They are fetched by pread, a hash covers every byte, and
 * the hash of a row covers its key: what is read is what was put under that key, or refused. */
#ifndef TH_DATALOADER_FEATURE_CACHE_SEGMENT_H
#define TH_DATALOADER_FEATURE_CACHE_SEGMENT_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_SEGMENT_HEAD ((size_t)48)       // bytes of a header
#define TH_SEGMENT_ROWS ((int64_t)1 << 24) // most rows of a segment
#define TH_ROW_TRAILER  (sizeof(uint64_t)) // its hash, behind each row
#define TH_SEGMENT_NAME sizeof("rank-00000-0123456789abcdef.rows")

typedef struct { // as stored
    uint64_t item;
    uint32_t view, zero;
} th_feature_key;

typedef struct {
    uint64_t cache_key, row_bytes, rows, keys_hash;
} th_segment_head;

th_feature_key th_feature_key_make(uint64_t item, uint32_t view);
uint64_t       th_feature_key_hash(const th_feature_key *key);

/* What stands behind a row, as stored. */
uint64_t th_feature_row_hash(const th_feature_key *key, const void *row, size_t row_bytes);

/* Bytes of a whole segment of that many rows. */
uint64_t th_segment_bytes(uint64_t row_bytes, uint64_t rows);

/* Writes the header's bytes, and the segment's name. */
void th_segment_head_print(const th_segment_head *head, int rank,
                           unsigned char bytes[TH_SEGMENT_HEAD], char name[TH_SEGMENT_NAME]);

/* Whether a file name is that of a segment. */
bool th_segment_is_name(const char *name);

/* Opens segment `name` of the open folder `dir` and reads its header, which is checked: the name,
 * the hash, and that the file has just the bytes that it tells. *out_fd is the caller's.
 * Errors: TH_EDATA, TH_EIO. */
TH_MUST_CHECK th_code th_segment_open(int dir, const char *name, th_segment_head *out, int *out_fd,
                                      th_err *err);

/* Reads the keys; free() them. Errors: TH_EDATA when they do not hold, TH_EIO. */
TH_MUST_CHECK th_code th_segment_keys(int fd, const char *name, const th_segment_head *head,
                                      th_feature_key **out, th_err *err);

/* Reads row i of a segment of `rows`; false when it cannot be read or is not that of the key. */
bool th_segment_row(int fd, uint64_t rows, size_t row_bytes, uint64_t i, const th_feature_key *key,
                    void *out_row);

#endif
