/* dataloader/shard_page.h - one page of an LMDB file, taken apart with every bound checked.
 *
 *     page    u64 number  u16 pad  u16 flags  u16 lower  u16 upper  u16 offset of each node ...
 *             free from lower to upper, then the nodes
 *     node    u16 low  u16 high  u16 flags  u16 key bytes, the key, a leaf's data
 *             branch: low, high and flags are the child's page number
 *             leaf:   low and high are the data's bytes; with flag 1 the data is the number of the
 *                     first of its own pages, in which it follows a page header (flags 4, u32
 * pages) meta    a page header, then th_shard_meta */
#ifndef TH_DATALOADER_SHARD_PAGE_H
#define TH_DATALOADER_SHARD_PAGE_H

#include "dataloader/shard_tree.h"

#define TH_PAGE_HEAD     16
#define TH_NODE_HEAD     8
#define TH_KEY_BYTES     8
#define TH_PAGE_BRANCH   0x01
#define TH_PAGE_LEAF     0x02
#define TH_PAGE_OVERFLOW 0x04
#define TH_PAGE_META     0x08
#define TH_NO_PAGE       UINT64_MAX

typedef struct {
    uint64_t number;
    uint16_t pad, flags;
    union {
        struct {
            uint16_t lower, upper;
        };
        uint32_t overflow_pages;
    };
} th_shard_page;

typedef struct {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
} th_shard_db;

typedef struct {
    uint32_t    magic, version;
    uint64_t    address, map_bytes;
    th_shard_db free_pages, records;
    uint64_t    last_page, transaction;
} th_shard_meta;

typedef struct {
    unsigned char bytes[TH_SHARD_PAGE];
} th_page_buffer;

/* Nodes of a page that claims to be page `number` of that kind, or -1 when its header is wrong. */
int th_page_count(const unsigned char *page, size_t page_bytes, uint64_t number, int kind);

/* Node i of a branch page: its key (0 when the first has none) and child. False when it is not
 * inside of the page, or the child not a page of the file. */
_Bool th_page_branch_node(const unsigned char *page, size_t page_bytes, uint64_t pages, int i,
                          th_shard_node *out);

/* Node i of a leaf page, whose key must be `key`; false when anything is out of bounds. */
_Bool th_page_leaf_node(const unsigned char *page, size_t page_bytes, uint64_t number,
                        uint64_t pages, int i, uint64_t key, th_shard_value *out);

/* Copies what a checked page uses, with `upper` where its nodes begin; all other bytes of `out` are
 * zero. */
void th_page_canonical(const unsigned char *page, size_t page_bytes, int kind, unsigned char *out);

#endif
