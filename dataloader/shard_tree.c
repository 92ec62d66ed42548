#include "dataloader/shard_tree.h"

#include "dataloader/shard_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     0xBEEFC0DEu
#define VERSION   1
#define ENV_FLAGS 0x4008 // one file instead of a folder (MDB_NOSUBDIR), integer keys of free pages
#define MAX_DEPTH 16     // a branch page has 2 children at least and usually over a hundred

static const char fix_shard[] =
    "copy the shard again from where it is whole, or pack the data again";
static const char fix_memory[] = "free some memory";

th_code th_shard_read_at(int fd, const char *name, uint64_t offset, void *out, size_t size,
                         th_err *err)
{
    th_code        rc = TH_OK;
    unsigned char *to = out;

    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        TH_CHECK(got >= 0, TH_EIO, "check the health of the disk",
                 "could not read shard \"%s\" at byte %" PRIu64 ": %s", name, offset,
                 strerror(errno));
        TH_CHECK(got > 0, TH_EDATA, fix_shard, "shard \"%s\" is truncated at byte %" PRIu64, name,
                 offset);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
out:
    return rc;
}

static th_code read_page(const th_shard_tree *tree, int fd, const char *name, uint64_t number,
                         _Bool strict, th_page_buffer *out, th_err *err)
{
    th_code rc =
        th_shard_read_at(fd, name, number * tree->page_bytes, out->bytes, tree->page_bytes, err);

    if (!strict)
        memset(out->bytes + offsetof(th_shard_page, pad), 0, sizeof(uint16_t));
    return rc;
}

static _Bool is_canonical(const unsigned char *page, size_t page_bytes, int kind)
{
    unsigned char canonical[TH_SHARD_PAGE];

    th_page_canonical(page, page_bytes, kind, canonical);
    return memcmp(page, canonical, page_bytes) == 0;
}

void th_shard_meta_write(unsigned char *page, size_t page_bytes, uint64_t pages, uint64_t number,
                         const th_shard_db *records)
{
    th_shard_page head = { .number = number, .flags = TH_PAGE_META };
    th_shard_meta meta = {
        .magic = MAGIC,
        .version = VERSION,
        .map_bytes = pages * page_bytes,
        .free_pages = { .pad = (uint32_t)page_bytes, .flags = ENV_FLAGS, .root = TH_NO_PAGE },
        .records = { .root = TH_NO_PAGE },
        .last_page = number == 0 ? 1 : pages - 1,
        .transaction = number,
    };

    if (number == 1)
        meta.records = *records;
    memset(page, 0, page_bytes);
    memcpy(page, &head, sizeof head);
    memcpy(page + TH_PAGE_HEAD, &meta, sizeof meta);
}

// Reads both meta pages, fills the sizes of the tree, and gives the root of the records.
static th_code read_metas(int fd, const char *name, _Bool strict, th_shard_tree *tree,
                          th_shard_db *out, th_err *err)
{
    th_code        rc = TH_OK;
    th_page_buffer page, expected;
    th_shard_meta  meta;
    struct stat    status;

    TH_CHECK(fstat(fd, &status) == 0, TH_EIO, "check the health of the disk",
             "could not read shard \"%s\": %s", name, strerror(errno));
    TH_TRY(th_shard_read_at(fd, name, TH_PAGE_HEAD, &meta, sizeof meta, err));
    TH_CHECK(meta.magic == MAGIC && meta.version == VERSION, TH_EDATA,
             "check that it is a shard that thaw pack wrote", "\"%s\" is not an LMDB file", name);
    tree->page_bytes = meta.free_pages.pad;
    TH_CHECK(tree->page_bytes >= 512 && tree->page_bytes <= TH_SHARD_PAGE &&
                 (tree->page_bytes & (tree->page_bytes - 1)) == 0,
             TH_EDATA, fix_shard, "shard \"%s\" has pages of %zu bytes", name, tree->page_bytes);
    TH_CHECK(status.st_size >= (off_t)(2 * tree->page_bytes) &&
                 status.st_size % (off_t)tree->page_bytes == 0,
             TH_EDATA, fix_shard, "shard \"%s\" is truncated: %lld bytes are not whole pages", name,
             (long long)status.st_size);
    tree->pages = (uint64_t)status.st_size / tree->page_bytes;

    TH_TRY(read_page(tree, fd, name, 1, strict, &page, err));
    memcpy(&meta, page.bytes + TH_PAGE_HEAD, sizeof meta);
    TH_CHECK(meta.last_page == tree->pages - 1, TH_EDATA, fix_shard,
             "shard \"%s\" is truncated: it has %" PRIu64 " pages and should have %" PRIu64, name,
             tree->pages, meta.last_page + 1);
    th_shard_meta_write(expected.bytes, tree->page_bytes, tree->pages, 1, &meta.records);
    TH_CHECK(!strict || memcmp(page.bytes, expected.bytes, tree->page_bytes) == 0, TH_EDATA,
             fix_shard, "shard \"%s\" is damaged in meta page 1", name);
    *out = meta.records;
    if (strict) {
        TH_TRY(read_page(tree, fd, name, 0, strict, &page, err));
        th_shard_meta_write(expected.bytes, tree->page_bytes, tree->pages, 0, NULL);
        TH_CHECK(memcmp(page.bytes, expected.bytes, tree->page_bytes) == 0, TH_EDATA, fix_shard,
                 "shard \"%s\" is damaged in meta page 0", name);
    }
out:
    return rc;
}

// Appends the children of a branch page to `to`, which has room for `room` nodes.
static th_code read_branch(const th_shard_tree *tree, int fd, const char *name, _Bool strict,
                           const th_shard_node *branch, th_shard_node *to, uint64_t room,
                           uint64_t *out_count, th_err *err)
{
    th_code        rc = TH_OK;
    th_page_buffer page;

    TH_TRY(read_page(tree, fd, name, branch->page, strict, &page, err));
    int count = th_page_count(page.bytes, tree->page_bytes, branch->page, TH_PAGE_BRANCH);
    TH_CHECK(count >= 2 && (uint64_t)count <= room, TH_EDATA, fix_shard,
             "shard \"%s\" is damaged: page %" PRIu64 " is no branch of the tree", name,
             branch->page);
    for (int i = 0; i < count; i++) {
        // LMDB never looks at the first key: all that is below the second goes there.
        _Bool good = th_page_branch_node(page.bytes, tree->page_bytes, tree->pages, i, &to[i]) &&
                     (i == 0 || (to[i].first > to[i - 1].first && to[i].first < tree->records));
        TH_CHECK(good, TH_EDATA, fix_shard,
                 "shard \"%s\" is damaged: node %d of page %" PRIu64 " leads nowhere", name, i,
                 branch->page);
        if (i == 0)
            to[i].first = branch->first;
    }
    TH_CHECK(!strict || is_canonical(page.bytes, tree->page_bytes, TH_PAGE_BRANCH), TH_EDATA,
             fix_shard, "shard \"%s\" is damaged: page %" PRIu64 " has bytes where none belong",
             name, branch->page);
    *out_count = (uint64_t)count;
out:
    return rc;
}

// Goes through the branches level by level, from the root down to the leaves. One array holds all
// levels one after the other: nodes[0] is the root.
static th_code read_levels(th_shard_tree *tree, int fd, const char *name, _Bool strict, int depth,
                           th_shard_node *nodes, uint64_t room, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t begin = 0, end = 1; // of the level

    for (int level = 1; level < depth; level++) {
        uint64_t used = end;
        for (uint64_t i = begin; i < end; i++) {
            uint64_t count = 0;
            TH_TRY(read_branch(tree, fd, name, strict, &nodes[i], nodes + used, room - used, &count,
                               err));
            // Within a branch keys ascend; here: from one branch to the next of its level.
            TH_CHECK(used == end || nodes[used].first > nodes[used - 1].first, TH_EDATA, fix_shard,
                     "shard \"%s\" is damaged: keys of page %" PRIu64 " are out of order", name,
                     nodes[i].page);
            used += count;
        }
        begin = end;
        end = used;
    }
    TH_CHECK(end == room && begin == tree->branch_count, TH_EDATA, fix_shard,
             "shard \"%s\" is damaged: its tree has other pages than its meta page says", name);
    tree->branches = nodes;
    tree->leaves = nodes + begin;
out:
    return rc;
}

th_code th_shard_tree_open(int fd, const char *name, _Bool strict, th_shard_tree *out, th_err *err)
{
    th_code        rc = TH_OK;
    th_shard_tree  tree = { 0 };
    th_shard_db    db = { 0 };
    th_shard_node *nodes = NULL;

    TH_TRY(read_metas(fd, name, strict, &tree, &db, err));
    tree.records = db.entries;
    tree.branch_count = db.branch_pages;
    tree.leaf_count = db.leaf_pages;
    // Each sum is checked before it can overflow: no part is larger than the file.
    TH_CHECK(db.branch_pages < tree.pages && db.leaf_pages < tree.pages &&
                 db.overflow_pages < tree.pages &&
                 2 + db.branch_pages + db.leaf_pages + db.overflow_pages == tree.pages &&
                 db.pad == 0 && db.flags == 0 && db.depth <= MAX_DEPTH &&
                 (db.depth == 0) == (db.leaf_pages == 0) && (db.depth == 0) == (db.entries == 0) &&
                 db.entries <= tree.pages * tree.page_bytes,
             TH_EDATA, fix_shard, "shard \"%s\" is damaged: its counts do not fit its size", name);
    if (db.depth > 0) {
        uint64_t room = db.branch_pages + db.leaf_pages;
        TH_CHECK(db.root >= 2 && db.root < tree.pages, TH_EDATA, fix_shard,
                 "shard \"%s\" is damaged: its tree begins outside of the file", name);
        TH_CHECK(nodes = calloc(room, sizeof *nodes), TH_EIO, fix_memory,
                 "could not open shard \"%s\": out of memory", name);
        nodes[0] = (th_shard_node){ .first = 0, .page = db.root };
        TH_TRY(read_levels(&tree, fd, name, strict, db.depth, nodes, room, err));
        // That the last leaf ends with the last record makes the number of records true.
        TH_TRY(th_shard_tree_check_leaf(&tree, fd, name, tree.leaf_count - 1, strict, NULL, err));
    } else {
        TH_CHECK(db.root == TH_NO_PAGE, TH_EDATA, fix_shard,
                 "shard \"%s\" is damaged: it is empty and has a tree", name);
    }
    *out = tree;
    nodes = NULL;
out:
    free(nodes);
    return rc;
}

void th_shard_tree_close(th_shard_tree *tree)
{
    free(tree->branches); // the leaves stand behind them
    *tree = (th_shard_tree){ 0 };
}

uint64_t th_shard_tree_leaf(const th_shard_tree *tree, uint64_t i)
{
    uint64_t low = 0, high = tree->leaf_count; // low's first <= i < high's first

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (tree->leaves[middle].first <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// Pages of a value that does not stand in its leaf.
static uint64_t value_pages(const th_shard_tree *tree, const th_shard_value *value)
{
    return (TH_PAGE_HEAD + value->bytes + tree->page_bytes - 1) / tree->page_bytes;
}

static uint64_t leaf_records(const th_shard_tree *tree, uint64_t k)
{
    uint64_t next = k + 1 < tree->leaf_count ? tree->leaves[k + 1].first : tree->records;

    return next - tree->leaves[k].first;
}

// Reads a leaf into `page` and checks it. values as in th_shard_tree_check_leaf. Compacting writes
// the pages of a leaf's values one after the other and then the leaf, so that a damaged page number
// or length does not lead to another record, which would be whole and wrong.
static th_code read_leaf(const th_shard_tree *tree, int fd, const char *name, uint64_t k,
                         _Bool strict, th_page_buffer *page, th_shard_value *values, th_err *err)
{
    th_code       rc = TH_OK;
    th_shard_node leaf = tree->leaves[k];
    uint64_t      next_page = 0; // behind the pages of the values so far

    TH_TRY(read_page(tree, fd, name, leaf.page, strict, page, err));
    int count = th_page_count(page->bytes, tree->page_bytes, leaf.page, TH_PAGE_LEAF);
    TH_CHECK(count >= 0 && (uint64_t)count == leaf_records(tree, k), TH_EDATA, fix_shard,
             "shard \"%s\" is damaged: page %" PRIu64 " does not hold the records from %" PRIu64
             " on",
             name, leaf.page, leaf.first);
    for (int i = 0; i < count; i++) {
        th_shard_value value;
        _Bool good = th_page_leaf_node(page->bytes, tree->page_bytes, leaf.page, tree->pages, i,
                                       leaf.first + (uint64_t)i, &value);
        if (good && value.overflow_page) {
            good = next_page == 0 || value.overflow_page == next_page;
            next_page = value.overflow_page + value_pages(tree, &value);
        }
        TH_CHECK(good, TH_EDATA, fix_shard,
                 "shard \"%s\" is damaged: record %" PRIu64 " in page %" PRIu64 " is out of place",
                 name, leaf.first + (uint64_t)i, leaf.page);
        if (values)
            values[i] = value;
    }
    TH_CHECK((next_page == 0 || next_page == leaf.page) &&
                 (!strict || is_canonical(page->bytes, tree->page_bytes, TH_PAGE_LEAF)),
             TH_EDATA, fix_shard, "shard \"%s\" is damaged: page %" PRIu64 " is not as written",
             name, leaf.page);
out:
    return rc;
}

th_code th_shard_tree_check_leaf(const th_shard_tree *tree, int fd, const char *name, uint64_t k,
                                 _Bool strict, th_shard_value *values, th_err *err)
{
    th_page_buffer page;

    return read_leaf(tree, fd, name, k, strict, &page, values, err);
}
