/* dataloader/shard.h - one LMDB file of records, immutable once committed.
 *
 * Key: record number, u64 big-endian. Value: dataloader/record.h. LMDB has no page checksums, takes
 * every page number and length in a file for true, and a truncated file is a SIGBUS on access. So a
 * shard is checked page by page before LMDB follows it (dataloader/shard_tree.h), LMDB finds a
 * value and pread fetches it (a bad block is then an error, and a cold record one read instead of a
 * page fault every 4 KiB), and the record's own hash is verified by who decodes it. The same
 * records give the same bytes. Files are those of LMDB 0.9: python3-lmdb and mdb_stat read them. */
#ifndef TH_DATALOADER_SHARD_H
#define TH_DATALOADER_SHARD_H

#include "base/error.h"
#include "dataloader/record.h"

typedef struct th_shard_writer th_shard_writer;

/* Fills "<path>.tmp", each byte once; commit finishes and flushes it, renames it to `path` and
 * flushes the folder. close removes what is not committed, and accepts NULL. One thread at a time
 * for a writer. Errors: TH_EIO (disk full among them), TH_EUSAGE when a record breaks a limit of
 * record.h; after an error only close is allowed. */
TH_MUST_CHECK th_code th_shard_create(const char *path, th_shard_writer **out, th_err *err);
TH_MUST_CHECK th_code th_shard_append(th_shard_writer *writer, const th_record *record,
                                      th_err *err);
/* A record as th_record_write made it. */
TH_MUST_CHECK th_code th_shard_append_bytes(th_shard_writer *writer, const void *record,
                                            size_t size, th_err *err);
TH_MUST_CHECK th_code th_shard_commit(th_shard_writer *writer, int64_t *out_records,
                                      uint64_t *out_bytes, uint64_t *out_hash, th_err *err);
void                  th_shard_writer_close(th_shard_writer *writer);

typedef struct th_shard th_shard;

/* Errors: TH_EDATA when the file is not a whole shard of ours, TH_EIO. Keeps one file open. */
TH_MUST_CHECK th_code th_shard_open(const char *path, th_shard **out, th_err *err);
void                  th_shard_close(th_shard *shard); // accepts NULL
int64_t               th_shard_records(const th_shard *shard);

/* Copies record number i into *buffer (grown by realloc). Any thread, each with a buffer of its
 * own. Errors: TH_EDATA when it is missing or its page is damaged, TH_EIO. */
TH_MUST_CHECK th_code th_shard_copy(th_shard *shard, int64_t i, th_record_scratch *buffer,
                                    size_t *out_size, th_err *err);

#endif
