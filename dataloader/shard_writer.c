// Writing a shard. LMDB copies every page that a transaction touches, so a file written in several
// of them has pages that nobody uses, and how many depends on how it was batched. So the records
// are first appended to "<path>.fill", unsafely and in large transactions; commit has LMDB write
// that tree once more, compacted, polishes it into a form that depends on nothing but the records,
// reads all of the tree back, and only then gives it its name.
#include "dataloader/shard.h"

#include "base/file.h"
#include "base/hash.h"
#include "dataloader/shard_tree.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_BYTES ((size_t)64 << 20) // of records in a transaction, whose pages are in memory
// Address space for one more batch: its last record may be the largest there is, a record of just
// over half a page takes a whole one, and the pages on the way to the root are written anew.
#define BATCH_ROOM (2 * (BATCH_BYTES + TH_RECORD_BYTES) + ((size_t)16 << 20))

struct th_shard_writer {
    char     path[PATH_MAX], fill[PATH_MAX], tmp[PATH_MAX];
    MDB_env *env;
    MDB_txn *txn; // NULL between batches
    MDB_dbi  dbi;
    uint64_t records;
    size_t   batch_bytes;
};

static const char fix_write[] = "make room on the disk, and check that the folder is writable";

#define TH_LMDB(call, doing)                                                                       \
    do {                                                                                           \
        int status_ = (call);                                                                      \
        TH_CHECK(status_ == MDB_SUCCESS, TH_EIO, fix_write, "could not " doing " \"%s\": %s",      \
                 writer->path, mdb_strerror(status_));                                             \
    } while (0)

static th_code begin_batch(th_shard_writer *writer, th_err *err)
{
    th_code     rc = TH_OK;
    MDB_envinfo info;
    MDB_stat    stat;

    TH_LMDB(mdb_env_info(writer->env, &info), "write shard");
    TH_LMDB(mdb_env_stat(writer->env, &stat), "write shard");
    TH_LMDB(mdb_env_set_mapsize(writer->env, (info.me_last_pgno + 1) * stat.ms_psize + BATCH_ROOM),
            "map shard");
    TH_LMDB(mdb_txn_begin(writer->env, NULL, 0, &writer->txn), "write shard");
    TH_LMDB(mdb_dbi_open(writer->txn, NULL, 0, &writer->dbi), "write shard");
    writer->batch_bytes = 0;
out:
    return rc;
}

static th_code end_batch(th_shard_writer *writer, th_err *err)
{
    th_code  rc = TH_OK;
    MDB_txn *txn = writer->txn;

    writer->txn = NULL; // gone, committed or not
    if (txn)
        TH_LMDB(mdb_txn_commit(txn), "write shard");
out:
    return rc;
}

th_code th_shard_create(const char *path, th_shard_writer **out, th_err *err)
{
    th_code          rc = TH_OK;
    th_shard_writer *writer = calloc(1, sizeof *writer);

    TH_CHECK(writer, TH_EIO, "free some memory", "could not write shard \"%s\": out of memory",
             path);
    TH_CHECK(snprintf(writer->path, PATH_MAX, "%s", path) < PATH_MAX &&
                 snprintf(writer->fill, PATH_MAX, "%s.fill", path) < PATH_MAX &&
                 snprintf(writer->tmp, PATH_MAX, "%s.tmp", path) < PATH_MAX,
             TH_EIO, "use a shorter path", "path of shard \"%.100s...\" is too long", path);
    // What a killed process left behind would be taken for the beginning of this shard.
    TH_CHECK(unlink(writer->fill) == 0 || errno == ENOENT, TH_EIO, fix_write,
             "could not remove \"%s\": %s", writer->fill, strerror(errno));
    TH_LMDB(mdb_env_create(&writer->env), "write shard");
    TH_LMDB(mdb_env_open(writer->env, writer->fill, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0644),
            "create shard");
    TH_TRY(begin_batch(writer, err));
    *out = writer;
    writer = NULL;
out:
    th_shard_writer_close(writer);
    return rc;
}

// Makes room for the next record, at *out.
static th_code reserve(th_shard_writer *writer, size_t size, void **out, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t number = htobe64(writer->records);
    MDB_val  key = { .mv_size = sizeof number, .mv_data = &number };
    MDB_val  value = { .mv_size = size };

    if (writer->batch_bytes >= BATCH_BYTES) {
        TH_TRY(end_batch(writer, err));
        TH_TRY(begin_batch(writer, err));
    }
    TH_LMDB(mdb_put(writer->txn, writer->dbi, &key, &value, MDB_APPEND | MDB_RESERVE),
            "write shard");
    writer->batch_bytes += size;
    writer->records++;
    *out = value.mv_data;
out:
    return rc;
}

th_code th_shard_append(th_shard_writer *writer, const th_record *record, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = th_record_size(record);
    void   *to = NULL;

    TH_CHECK(size > 0, TH_EUSAGE, "keep pictures and captions within the limits of a record",
             "record %llu of shard \"%s\" breaks a limit: %d x %d, %u image bytes, %d captions",
             (unsigned long long)writer->records, writer->path, record->width, record->height,
             record->image_bytes, record->caption_count);
    TH_TRY(reserve(writer, size, &to, err));
    th_record_write(record, to);
out:
    return rc;
}

th_code th_shard_append_bytes(th_shard_writer *writer, const void *record, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void   *to = NULL;

    TH_TRY(reserve(writer, size, &to, err));
    memcpy(to, record, size);
out:
    return rc;
}

// Reads the whole tree of the finished file, the way that a reader will.
static th_code read_back(const th_shard_writer *writer, int fd, th_err *err)
{
    th_code       rc = TH_OK;
    th_shard_tree tree = { 0 };

    TH_TRY(th_shard_tree_open(fd, writer->tmp, 1, &tree, err));
    TH_CHECK(tree.records == writer->records, TH_EIO, "check the health of the disk",
             "shard \"%s\" reads back with %llu records instead of %llu", writer->path,
             (unsigned long long)tree.records, (unsigned long long)writer->records);
    for (uint64_t k = 0; k < tree.leaf_count; k++)
        TH_TRY(th_shard_tree_check_leaf(&tree, fd, writer->tmp, k, 1, NULL, err));
out:
    th_shard_tree_close(&tree);
    return rc;
}

static void close_fill(th_shard_writer *writer)
{
    mdb_txn_abort(writer->txn);
    writer->txn = NULL;
    if (writer->env)
        mdb_env_close(writer->env);
    writer->env = NULL;
    (void)unlink(writer->fill); // not there when it could not be created
}

th_code th_shard_commit(th_shard_writer *writer, int64_t *out_records, uint64_t *out_bytes,
                        uint64_t *out_hash, th_err *err)
{
    th_code  rc = TH_OK;
    int      fd = -1;
    uint64_t hash = 0, bytes = 0;

    TH_TRY(end_batch(writer, err));
    fd = open(writer->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    TH_CHECK(fd >= 0, TH_EIO, fix_write, "could not create file \"%s\": %s", writer->tmp,
             strerror(errno));
    TH_LMDB(mdb_env_copyfd2(writer->env, fd, MDB_CP_COMPACT), "compact shard");
    close_fill(writer);
    TH_TRY(th_shard_tree_polish(fd, writer->tmp, err));
    TH_TRY(read_back(writer, fd, err));
    int closed = close(fd);
    fd = -1;
    TH_CHECK(closed == 0, TH_EIO, fix_write, "could not close file \"%s\": %s", writer->tmp,
             strerror(errno));
    TH_TRY(th_hash_file(writer->tmp, &hash, &bytes, err));
    TH_TRY(th_file_publish(AT_FDCWD, writer->tmp, writer->path, err));
    *out_records = (int64_t)writer->records;
    *out_bytes = bytes;
    *out_hash = hash;
out:
    if (fd >= 0)
        (void)close(fd); // the file is thrown away
    if (rc != TH_OK)
        (void)th_during(err, "committing shard \"%s\"", writer->path);
    return rc;
}

void th_shard_writer_close(th_shard_writer *writer)
{
    if (!writer)
        return;
    close_fill(writer);
    (void)unlink(writer->tmp); // not there before a commit, and renamed after one
    free(writer);
}
