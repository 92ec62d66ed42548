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

/* Writes the meta page `number` of a canonical shard whose tree is `records`: 0 is an empty
 * beginning, 1 is the one that LMDB takes, as its transaction is the later one. */
void th_shard_meta_write(unsigned char *page, size_t page_bytes, uint64_t pages, uint64_t number,
                         const th_shard_db *records);

/* Making pages: begin an empty one, put nodes behind those that it has, set its number.
 *
 * A leaf's value stands inside of it when that leaves room for one more; else it has pages of its
 * own, and `value` is NULL and `own_page` their first. Whether a value of `size` bytes, or an own
 * page's number, still fits is asked before. Child 0 of a branch is written without its key, which
 * nobody looks at; a branch takes TH_PAGE_CHILDREN of them. */
#define TH_PAGE_CHILDREN(page_bytes)                                                               \
    (1 + ((page_bytes)-TH_PAGE_HEAD - TH_NODE_HEAD - 2) / (TH_NODE_HEAD + TH_KEY_BYTES + 2))
void  th_page_begin(unsigned char *page, size_t page_bytes, int kind);
void  th_page_set_number(unsigned char *page, uint64_t number);
_Bool th_page_fits_inside(size_t page_bytes, size_t size);
_Bool th_page_has_room(const unsigned char *page, size_t size);
void  th_page_put_leaf(unsigned char *page, uint64_t key, const void *value, size_t size,
                       uint64_t own_page);
void  th_page_put_branch(unsigned char *page, int i, const th_shard_node *child);

/* Copies what a checked page uses, with `upper` where its nodes begin; all other bytes of `out` are
 * zero. */
void th_page_canonical(const unsigned char *page, size_t page_bytes, int kind, unsigned char *out);

#endif
