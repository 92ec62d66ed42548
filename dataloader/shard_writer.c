// Writing a shard: an LMDB file from its first byte to its last, without LMDB. Records come in the
// order of their keys and nothing is ever changed, so the tree can be laid down behind them in one
// go: the pages of a leaf's values, the leaf, and now and then a branch. What stands in the file
// depends on nothing but the records, pixels are written once, and the form is that of a file that
// LMDB has compacted, which shard_tree.h checks: commit reads all of the tree back with it.
#include "dataloader/shard.h"

#include "base/file.h"
#include "base/hash.h"
#include "dataloader/shard_page.h"
#include "dataloader/shard_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE        4096 // of every shard, whatever the machine's
#define META_PAGES  2
#define FLUSH_BYTES (32 << 20)
#define MOST_LEVELS 8                      // of branches: more than 2^48 records fill
#define FAN_OUT     TH_PAGE_CHILDREN(PAGE) // most children of a branch

// The children of the branch that is being filled on a level, and two of the next one.
typedef struct {
    th_shard_node children[FAN_OUT + 2];
    int           count;
} level;

struct th_shard_writer {
    char           path[PATH_MAX], tmp[PATH_MAX];
    int            fd;                 // -1: closed
    _Bool          made;               // tmp is there, and ours
    uint64_t       records, next_page; // next_page: where the file ends
    uint64_t       flushed_page;       // the disk was told of those before
    unsigned char  leaf[PAGE];         // being filled
    uint64_t       leaf_first, leaf_records;
    level         *levels; // [MOST_LEVELS], the lowest first
    th_shard_db    db;     // pages so far
    unsigned char *record; // room for th_shard_append
    size_t         room;
};

static const char fix_write[] = "make room on the disk, and check that the folder is writable";

// Writes all of it at the end of the file; what is in `parts` is used up.
static th_code write_parts(const th_shard_writer *writer, struct iovec *parts, int count,
                           th_err *err)
{
    th_code rc = TH_OK;

    while (count > 0) {
        ssize_t put = writev(writer->fd, parts, count);
        if (put < 0 && errno == EINTR)
            continue;
        TH_CHECK(put >= 0, TH_EIO, fix_write, "could not write shard \"%s\": %s", writer->path,
                 strerror(errno));
        while (count > 0 && (size_t)put >= parts->iov_len) {
            put -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + put;
            parts->iov_len -= (size_t)put;
        }
    }
out:
    return rc;
}

static th_code write_page(th_shard_writer *writer, unsigned char *page, uint64_t *out_number,
                          th_err *err)
{
    struct iovec part = { page, PAGE };

    *out_number = writer->next_page++;
    th_page_set_number(page, *out_number);
    return write_parts(writer, &part, 1, err);
}

// Has the disk begin with what was written, so that little is left to wait for when all is flushed.
static void start_flushing(th_shard_writer *writer)
{
    uint64_t bytes = (writer->next_page - writer->flushed_page) * PAGE;

    if (bytes < FLUSH_BYTES)
        return;
    (void)sync_file_range(writer->fd, (off_t)(writer->flushed_page * PAGE), (off_t)bytes,
                          SYNC_FILE_RANGE_WRITE); // a hint; the flush at the end counts
    writer->flushed_page = writer->next_page;
}

// A value that has pages of its own: a header, the value, zeros.
static th_code write_value(th_shard_writer *writer, const void *bytes, size_t size,
                           uint64_t *out_number, th_err *err)
{
    static unsigned char zeros[PAGE];

    uint64_t      pages = (TH_PAGE_HEAD + size + PAGE - 1) / PAGE;
    th_shard_page head = { .number = writer->next_page, .flags = TH_PAGE_OVERFLOW };
    struct iovec  parts[] = { { &head, sizeof head },
                              { (void *)bytes, size }, // writev does not write to it
                              { zeros, pages * PAGE - TH_PAGE_HEAD - size } };

    head.overflow_pages = (uint32_t)pages;
    *out_number = writer->next_page;
    writer->next_page += pages;
    writer->db.overflow_pages += pages;
    return write_parts(writer, parts, 3, err);
}

// Writes the first `count` children of a level as a branch; *out is what the level above gets.
static th_code write_branch(th_shard_writer *writer, level *l, int count, th_shard_node *out,
                            th_err *err)
{
    unsigned char page[PAGE];

    th_page_begin(page, PAGE, TH_PAGE_BRANCH);
    for (int i = 0; i < count; i++)
        th_page_put_branch(page, i, &l->children[i]);
    out->first = l->children[0].first;
    l->count -= count;
    memmove(l->children, l->children + count, (size_t)l->count * sizeof *l->children);
    writer->db.branch_pages++;
    return write_page(writer, page, &out->page, err);
}

// Adds a finished page to the branches above it, the lowest of which is `l`. A branch is written
// when two more children are there, as none may have fewer.
static th_code add_child(th_shard_writer *writer, level *l, th_shard_node child, th_err *err)
{
    th_code rc = TH_OK;

    for (;; l++) {
        TH_CHECK(l < writer->levels + MOST_LEVELS, TH_EUSAGE, "write several shards",
                 "shard \"%s\" has too many records", writer->path);
        l->children[l->count++] = child;
        if (l->count < FAN_OUT + 2)
            break;
        TH_TRY(write_branch(writer, l, FAN_OUT, &child, err));
    }
out:
    return rc;
}

static th_code end_leaf(th_shard_writer *writer, th_err *err)
{
    th_code       rc = TH_OK;
    th_shard_node leaf = { .first = writer->leaf_first };

    if (writer->leaf_records == 0)
        return TH_OK;
    TH_TRY(write_page(writer, writer->leaf, &leaf.page, err));
    TH_TRY(add_child(writer, writer->levels, leaf, err));
    writer->db.leaf_pages++;
    writer->leaf_first = writer->records;
    writer->leaf_records = 0;
    th_page_begin(writer->leaf, PAGE, TH_PAGE_LEAF);
out:
    return rc;
}

// Writes the branches that are not full, from the lowest to the root.
static th_code end_tree(th_shard_writer *writer, th_err *err)
{
    th_code       rc = TH_OK;
    th_shard_node child;

    TH_TRY(end_leaf(writer, err));
    writer->db.root = TH_NO_PAGE;
    writer->db.entries = writer->records;
    for (level *l = writer->levels; writer->records > 0; l++) {
        writer->db.depth++;
        if (l->count == 1 && l[1].count == 0) { // of all children only this one: it is the root
            writer->db.root = l->children[0].page;
            break;
        }
        while (l->count > 0) {
            int count = l->count > FAN_OUT ? l->count / 2 : l->count;
            TH_TRY(write_branch(writer, l, count, &child, err));
            TH_TRY(add_child(writer, l + 1, child, err));
        }
    }
out:
    return rc;
}

th_code th_shard_create(const char *path, th_shard_writer **out, th_err *err)
{
    static unsigned char zeros[META_PAGES * PAGE];

    th_code          rc = TH_OK;
    th_shard_writer *writer = calloc(1, sizeof *writer);
    struct iovec     metas = { zeros, sizeof zeros }; // written when all is known

    TH_CHECK(writer, TH_EIO, "free some memory", "could not write shard \"%s\": out of memory",
             path);
    writer->fd = -1;
    writer->next_page = META_PAGES;
    th_page_begin(writer->leaf, PAGE, TH_PAGE_LEAF);
    writer->levels = calloc(MOST_LEVELS + 1, sizeof *writer->levels); // one above, always empty
    TH_CHECK(writer->levels, TH_EIO, "free some memory",
             "could not write shard \"%s\": out of memory", path);
    TH_CHECK(snprintf(writer->path, PATH_MAX, "%s", path) < PATH_MAX &&
                 snprintf(writer->tmp, PATH_MAX, "%s.tmp", path) < PATH_MAX,
             TH_EIO, "use a shorter path", "path of shard \"%.100s...\" is too long", path);
    writer->fd = open(writer->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    TH_CHECK(writer->fd >= 0, TH_EIO, fix_write, "could not create file \"%s\": %s", writer->tmp,
             strerror(errno));
    writer->made = 1;
    TH_TRY(write_parts(writer, &metas, 1, err));
    *out = writer;
    writer = NULL;
out:
    th_shard_writer_close(writer);
    return rc;
}

th_code th_shard_append_bytes(th_shard_writer *writer, const void *record, size_t size, th_err *err)
{
    th_code  rc = TH_OK;
    _Bool    inside = th_page_fits_inside(PAGE, size);
    uint64_t number = 0;

    if (!th_page_has_room(writer->leaf, inside ? size : sizeof number))
        TH_TRY(end_leaf(writer, err));
    if (!inside)
        TH_TRY(write_value(writer, record, size, &number, err));
    start_flushing(writer);
    th_page_put_leaf(writer->leaf, writer->records, inside ? record : NULL, size, number);
    writer->leaf_records++;
    writer->records++;
out:
    return rc;
}

th_code th_shard_append(th_shard_writer *writer, const th_record *record, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = th_record_size(record);

    TH_CHECK(size > 0, TH_EUSAGE, "keep pictures and captions within the limits of a record",
             "record %llu of shard \"%s\" breaks a limit: %d x %d, %u image bytes, %d captions",
             (unsigned long long)writer->records, writer->path, record->width, record->height,
             record->image_bytes, record->caption_count);
    if (size > writer->room) {
        free(writer->record);
        writer->room = 0;
        writer->record = malloc(size);
        TH_CHECK(writer->record, TH_EIO, "free some memory",
                 "could not write shard \"%s\": out of memory", writer->path);
        writer->room = size;
    }
    th_record_write(record, writer->record);
    TH_TRY(th_shard_append_bytes(writer, writer->record, size, err));
out:
    return rc;
}

static th_code write_metas(const th_shard_writer *writer, th_err *err)
{
    th_code       rc = TH_OK;
    unsigned char pages[META_PAGES * PAGE];
    struct iovec  part = { pages, sizeof pages };

    for (uint64_t i = 0; i < META_PAGES; i++)
        th_shard_meta_write(pages + i * PAGE, PAGE, writer->next_page, i, &writer->db);
    TH_CHECK(lseek(writer->fd, 0, SEEK_SET) == 0, TH_EIO, fix_write,
             "could not write shard \"%s\": %s", writer->path, strerror(errno));
    TH_TRY(write_parts(writer, &part, 1, err));
out:
    return rc;
}

// Reads the whole tree of the finished file, the way that a reader will.
static th_code read_back(const th_shard_writer *writer, th_err *err)
{
    th_code       rc = TH_OK;
    th_shard_tree tree = { 0 };

    TH_TRY(th_shard_tree_open(writer->fd, writer->tmp, 1, &tree, err));
    TH_CHECK(tree.records == writer->records, TH_EIO, "check the health of the disk",
             "shard \"%s\" reads back with %llu records instead of %llu", writer->path,
             (unsigned long long)tree.records, (unsigned long long)writer->records);
    for (uint64_t k = 0; k < tree.leaf_count; k++)
        TH_TRY(th_shard_tree_check_leaf(&tree, writer->fd, writer->tmp, k, 1, NULL, err));
out:
    th_shard_tree_close(&tree);
    return rc;
}

th_code th_shard_commit(th_shard_writer *writer, int64_t *out_records, uint64_t *out_bytes,
                        uint64_t *out_hash, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t hash = 0, bytes = 0;

    TH_TRY(end_tree(writer, err));
    TH_TRY(write_metas(writer, err));
    TH_TRY(read_back(writer, err));
    int closed = close(writer->fd);
    writer->fd = -1;
    TH_CHECK(closed == 0, TH_EIO, fix_write, "could not close file \"%s\": %s", writer->tmp,
             strerror(errno));
    TH_TRY(th_hash_file(writer->tmp, &hash, &bytes, err));
    TH_TRY(th_file_publish(AT_FDCWD, writer->tmp, writer->path, err));
    writer->made = 0;
    *out_records = (int64_t)writer->records;
    *out_bytes = bytes;
    *out_hash = hash;
out:
    if (rc != TH_OK)
        (void)th_during(err, "committing shard \"%s\"", writer->path);
    return rc;
}

void th_shard_writer_close(th_shard_writer *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0)
        (void)close(writer->fd); // the file is thrown away
    if (writer->made)
        (void)unlink(writer->tmp);
    free(writer->record);
    free(writer->levels);
    free(writer);
}
