/* dataloader/shard.h - one LMDB file of records, immutable once committed.
 *
 * Key: record number, u64 big-endian. Value: dataloader/record.h. LMDB has no page checksums, and a
 * truncated file is a SIGBUS on access: before the map is read the file's size is checked against
 * its meta page, a value is copied out of the map before it is decoded, and its hash is verified.
 */
#ifndef TH_DATALOADER_SHARD_H
#define TH_DATALOADER_SHARD_H

#include "base/error.h"
#include "dataloader/record.h"

typedef struct th_shard_writer th_shard_writer;

/* Writes "<path>.tmp"; commit flushes, renames it to `path`, flushes the folder. close without
 * commit removes it. One thread at a time for a writer. Errors: TH_EIO (disk full among them). */
TH_MUST_CHECK th_code th_shard_create(const char *path, th_shard_writer **out, th_err *err);
TH_MUST_CHECK th_code th_shard_append(th_shard_writer *writer, const th_record *record,
                                      th_err *err);
TH_MUST_CHECK th_code th_shard_commit(th_shard_writer *writer, int64_t *out_records,
                                      uint64_t *out_bytes, uint64_t *out_hash, th_err *err);
void                  th_shard_writer_close(th_shard_writer *writer);

typedef struct th_shard th_shard;

/* Errors: TH_EDATA when the file is not a whole LMDB file of ours, TH_EIO. */
TH_MUST_CHECK th_code th_shard_open(const char *path, th_shard **out, th_err *err);
void                  th_shard_close(th_shard *shard);
int64_t               th_shard_records(const th_shard *shard);

/* Copies record number i out of the map into *buffer (grown by realloc). Any thread, each with a
 * buffer of its own. Errors: TH_EDATA when it is missing or of an impossible size, TH_EIO. */
TH_MUST_CHECK th_code th_shard_copy(th_shard *shard, int64_t i, th_record_scratch *buffer,
                                    size_t *out_size, th_err *err);

#endif
