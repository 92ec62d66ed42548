#include "dataloader/shard.h"

#include "base/log.h"
#include "dataloader/shard_tree.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct th_shard {
    char                *path;
    MDB_env             *env;
    MDB_dbi              dbi;
    int                  fd;  // LMDB's
    const unsigned char *map; // where LMDB has mapped the file: its page 0
    th_shard_tree        tree;
    atomic_bool         *checked; // a leaf each
};

static const char fix_shard[] =
    "copy the shard again from where it is whole, or pack the data again";
static const char fix_memory[] = "free some memory";

// LMDB aborts after this. It is only called when memory or a file changed after it was checked.
static void on_assert(MDB_env *env, const char *what)
{
    th_alarm("shard \"%s\" has changed while it was read: %s", (char *)mdb_env_get_userctx(env),
             what);
}

static th_code check_same_file(const th_shard *shard, int fd, th_err *err)
{
    th_code     rc = TH_OK;
    struct stat mine, theirs;

    TH_CHECK(fstat(fd, &mine) == 0 && fstat(shard->fd, &theirs) == 0, TH_EIO,
             "check the health of the disk", "could not read shard \"%s\": %s", shard->path,
             strerror(errno));
    TH_CHECK(mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino &&
                 mine.st_size == theirs.st_size,
             TH_EDATA, "do not write to a pack while it is used",
             "shard \"%s\" was replaced while it was opened", shard->path);
out:
    return rc;
}

static th_code open_lmdb(th_shard *shard, th_err *err)
{
    th_code      rc = TH_OK;
    MDB_txn     *txn = NULL;
    unsigned int flags = MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS;
    int          status = mdb_env_create(&shard->env);

    if (status == MDB_SUCCESS)
        status = mdb_env_set_mapsize(shard->env, shard->tree.pages * shard->tree.page_bytes);
    if (status == MDB_SUCCESS)
        status = mdb_env_set_userctx(shard->env, shard->path);
    if (status == MDB_SUCCESS)
        status = mdb_env_set_assert(shard->env, on_assert);
    if (status == MDB_SUCCESS)
        status = mdb_env_open(shard->env, shard->path, flags, 0);
    if (status == MDB_SUCCESS)
        status = mdb_env_get_fd(shard->env, &shard->fd);
    if (status == MDB_SUCCESS)
        status = mdb_txn_begin(shard->env, NULL, MDB_RDONLY, &txn);
    if (status == MDB_SUCCESS)
        status = mdb_dbi_open(txn, NULL, 0, &shard->dbi);
    TH_CHECK(status == MDB_SUCCESS, TH_EIO, "check limits on memory and open files (ulimit -a)",
             "could not open shard \"%s\": %s", shard->path, mdb_strerror(status));
out:
    mdb_txn_abort(txn);
    return rc;
}

// Leaf k has been checked when this returns TH_OK; two threads may both do it, to the same end.
static th_code check_leaf(th_shard *shard, uint64_t k, th_err *err)
{
    th_code rc = TH_OK;

    if (!atomic_load_explicit(&shard->checked[k], memory_order_relaxed)) {
        TH_TRY(th_shard_tree_check_leaf(&shard->tree, shard->fd, shard->path, k, 1, NULL, err));
        atomic_store_explicit(&shard->checked[k], true, memory_order_relaxed);
    }
out:
    return rc;
}

// Where LMDB has record i, whose leaf has been checked. A transaction for each look-up costs a
// small allocation and makes every look-up a matter of its own thread.
static th_code find(th_shard *shard, uint64_t i, MDB_val *out, th_err *err)
{
    th_code  rc = TH_OK;
    MDB_txn *txn = NULL;
    uint64_t number = htobe64(i);
    MDB_val  key = { .mv_size = sizeof number, .mv_data = &number };

    int status = mdb_txn_begin(shard->env, NULL, MDB_RDONLY, &txn);
    TH_CHECK(status == MDB_SUCCESS, TH_EIO, fix_memory, "could not read shard \"%s\": %s",
             shard->path, mdb_strerror(status));
    status = mdb_get(txn, shard->dbi, &key, out);
    TH_CHECK(status == MDB_SUCCESS, TH_EDATA, fix_shard,
             "could not find record %llu in shard \"%s\": %s", (unsigned long long)i, shard->path,
             mdb_strerror(status));
out:
    mdb_txn_abort(txn);
    return rc;
}

// LMDB does not tell where its map begins, so that is derived from record 0, of which we know the
// place in the file.
static th_code find_map(th_shard *shard, th_err *err)
{
    th_code         rc = TH_OK;
    MDB_val         found = { 0 };
    th_shard_value *values = NULL;

    if (shard->tree.records == 0)
        goto out;
    TH_CHECK(values = calloc(TH_SHARD_PAGE / sizeof(uint16_t), sizeof *values), TH_EIO, fix_memory,
             "could not open shard \"%s\": out of memory", shard->path);
    TH_TRY(th_shard_tree_check_leaf(&shard->tree, shard->fd, shard->path, 0, 1, values, err));
    TH_TRY(find(shard, 0, &found, err));
    shard->map = (const unsigned char *)found.mv_data - values[0].offset;
out:
    free(values);
    return rc;
}

th_code th_shard_open(const char *path, th_shard **out, th_err *err)
{
    th_code   rc = TH_OK;
    th_shard *shard = calloc(1, sizeof *shard);
    int       fd = -1;

    TH_CHECK(shard && (shard->path = strdup(path)), TH_EIO, fix_memory,
             "could not open shard \"%s\": out of memory", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    TH_CHECK(fd >= 0, TH_EIO,
             errno == EMFILE ? "raise the limit of open files: ulimit -n"
                             : "check that the file exists and is readable",
             "could not open shard \"%s\": %s", path, strerror(errno));
    TH_TRY(th_shard_tree_open(fd, path, 1, &shard->tree, err));
    TH_CHECK(shard->checked = calloc(shard->tree.leaf_count + 1, sizeof *shard->checked), TH_EIO,
             fix_memory, "could not open shard \"%s\": out of memory", path);
    TH_TRY(open_lmdb(shard, err));
    TH_TRY(check_same_file(shard, fd, err));
    TH_TRY(find_map(shard, err));
    *out = shard;
    shard = NULL;
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    th_shard_close(shard);
    return rc;
}

void th_shard_close(th_shard *shard)
{
    if (!shard)
        return;
    if (shard->env)
        mdb_env_close(shard->env);
    th_shard_tree_close(&shard->tree);
    free(shard->checked);
    free(shard->path);
    free(shard);
}

int64_t th_shard_records(const th_shard *shard)
{
    return (int64_t)shard->tree.records;
}

th_code th_shard_copy(th_shard *shard, int64_t i, th_record_scratch *buffer, size_t *out_size,
                      th_err *err)
{
    th_code  rc = TH_OK;
    MDB_val  found = { 0 };
    uint64_t file_bytes = shard->tree.pages * shard->tree.page_bytes;

    TH_CHECK(i >= 0 && (uint64_t)i < shard->tree.records, TH_EDATA, fix_shard,
             "record %lld is not in shard \"%s\", which has %llu", (long long)i, shard->path,
             (unsigned long long)shard->tree.records);
    TH_TRY(check_leaf(shard, th_shard_tree_leaf(&shard->tree, (uint64_t)i), err));
    TH_TRY(find(shard, (uint64_t)i, &found, err));
    uint64_t offset = (uint64_t)((const unsigned char *)found.mv_data - shard->map);
    TH_CHECK(found.mv_size <= TH_RECORD_BYTES && offset < file_bytes &&
                 found.mv_size <= file_bytes - offset,
             TH_EDATA, fix_shard, "record %lld of shard \"%s\" is outside of the file",
             (long long)i, shard->path);
    if (buffer->size < found.mv_size) {
        void *larger = realloc(buffer->bytes, found.mv_size);
        TH_CHECK(larger, TH_EIO, fix_memory, "could not allocate %zu bytes for a record",
                 found.mv_size);
        buffer->bytes = larger;
        buffer->size = found.mv_size;
    }
    TH_TRY(th_shard_read_at(shard->fd, shard->path, offset, buffer->bytes, found.mv_size, err));
    *out_size = found.mv_size;
out:
    return rc;
}
