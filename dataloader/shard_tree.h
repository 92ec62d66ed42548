/* dataloader/shard_tree.h - the pages of a committed shard, checked before LMDB follows them.
 *
 * LMDB believes its files: a damaged page number or length makes it read outside of its map, divide
 * by zero or abort. A committed shard is a very plain LMDB file, so all of its structure can be
 * held against what it must be: two meta pages, one B-tree of record numbers 0 .. records - 1
 * without a gap, no free pages, no sub-databases, and zeros in every byte that holds nothing. What
 * is checked here LMDB can walk. Opening reads the meta, branch and last leaf pages (5 pages for
 * 20,000 records that do not fit a page), a leaf is checked when first needed. All reading is by
 * pread: a truncated file or a bad block is an error and not a SIGBUS.
 *
 * The layout is that of LMDB 0.9 (data version 1) on a 64-bit little-endian machine, mdb.c. */
#ifndef TH_DATALOADER_SHARD_TREE_H
#define TH_DATALOADER_SHARD_TREE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define TH_SHARD_PAGE 65536 // largest page of LMDB; the usual one is the system's: 4096

// Where a record's value stands in the file.
typedef struct {
    uint64_t offset, bytes;
    uint64_t overflow_page; // first page of its own run of pages; 0: inside of its leaf
} th_shard_value;

typedef struct {
    uint64_t first, page; // lowest record number below it, page number
} th_shard_node;

typedef struct {
    size_t         page_bytes;
    uint64_t       pages, records;
    th_shard_node *branches, *leaves; // in the order of record numbers; branches level by level
    uint64_t       branch_count, leaf_count;
} th_shard_tree;

/* Reads the tree of the open file; `name` is for messages. `strict` also asks for the canonical
 * form, zeros wherever nothing stands, which every committed shard has. Errors: TH_EDATA, TH_EIO.
 */
TH_MUST_CHECK th_code th_shard_tree_open(int fd, const char *name, _Bool strict, th_shard_tree *out,
                                         th_err *err);
void                  th_shard_tree_close(th_shard_tree *tree); // accepts a zeroed one

/* Index of the leaf that holds record i, 0 <= i < records. */
uint64_t th_shard_tree_leaf(const th_shard_tree *tree, uint64_t i);

/* Reads and checks leaf k. values (may be NULL) has room for its records: leaf k + 1's first, or
 * the shard's records, less leaf k's first. Errors: TH_EDATA, TH_EIO. Any thread. */
TH_MUST_CHECK th_code th_shard_tree_check_leaf(const th_shard_tree *tree, int fd, const char *name,
                                               uint64_t k, _Bool strict, th_shard_value *values,
                                               th_err *err);

/* pread of exactly `size` bytes. Errors: TH_EDATA when the file ends before, TH_EIO. */
TH_MUST_CHECK th_code th_shard_read_at(int fd, const char *name, uint64_t offset, void *out,
                                       size_t size, th_err *err);

#endif
