#include "dataloader/shard_page.h"

#include "dataloader/record.h"

#include <endian.h>
#include <string.h>

#define BIG_DATA 0x01 // node flag: the data has pages of its own

_Static_assert(sizeof(th_shard_page) == TH_PAGE_HEAD, "as in mdb.c");
_Static_assert(sizeof(th_shard_meta) == 136, "as in mdb.c");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "LMDB files are of the machine's order");

typedef struct {
    uint16_t low, high, flags, key_bytes;
} node_head;

static size_t node_offset(const unsigned char *page, int i)
{
    uint16_t offset;

    memcpy(&offset, page + TH_PAGE_HEAD + 2 * (size_t)i, sizeof offset);
    return offset;
}

int th_page_count(const unsigned char *page, size_t page_bytes, uint64_t number, int kind)
{
    th_shard_page head;

    memcpy(&head, page, sizeof head);
    if (head.number != number || head.pad != 0 || head.flags != kind || head.lower < TH_PAGE_HEAD ||
        head.lower > head.upper || head.upper > page_bytes || head.lower % 2 != 0 ||
        head.upper % 2 != 0)
        return -1;
    return (head.lower - TH_PAGE_HEAD) / 2;
}

// The head of node i and where its key begins; false when head or key leave the page's part for
// nodes. The page's own head has been checked.
static _Bool node_at(const unsigned char *page, size_t page_bytes, int i, node_head *out,
                     size_t *out_key)
{
    th_shard_page head;
    size_t        offset = node_offset(page, i);

    memcpy(&head, page, sizeof head);
    if (offset % 2 != 0 || offset < head.upper || offset + TH_NODE_HEAD > page_bytes)
        return 0;
    memcpy(out, page + offset, sizeof *out);
    *out_key = offset + TH_NODE_HEAD;
    return *out_key + out->key_bytes <= page_bytes;
}

static uint64_t key_at(const unsigned char *page, size_t offset)
{
    uint64_t key;

    memcpy(&key, page + offset, sizeof key);
    return be64toh(key);
}

_Bool th_page_branch_node(const unsigned char *page, size_t page_bytes, uint64_t pages, int i,
                          th_shard_node *out)
{
    node_head head;
    size_t    key;

    if (!node_at(page, page_bytes, i, &head, &key))
        return 0;
    if (head.key_bytes != TH_KEY_BYTES && !(i == 0 && head.key_bytes == 0))
        return 0;
    out->first = head.key_bytes ? key_at(page, key) : 0;
    out->page = head.low | (uint64_t)head.high << 16 | (uint64_t)head.flags << 32;
    return out->page >= 2 && out->page < pages;
}

_Bool th_page_leaf_node(const unsigned char *page, size_t page_bytes, uint64_t number,
                        uint64_t pages, int i, uint64_t key, th_shard_value *out)
{
    node_head head;
    size_t    at;

    if (!node_at(page, page_bytes, i, &head, &at) || head.key_bytes != TH_KEY_BYTES ||
        key_at(page, at) != key)
        return 0;
    at += TH_KEY_BYTES;
    out->bytes = head.low | (uint64_t)head.high << 16;
    out->overflow_page = 0;
    if (out->bytes > TH_RECORD_BYTES)
        return 0;
    if (head.flags == 0) {
        out->offset = number * page_bytes + at;
        return at + out->bytes <= page_bytes;
    }
    if (head.flags != BIG_DATA || at + sizeof out->overflow_page > page_bytes)
        return 0;
    memcpy(&out->overflow_page, page + at, sizeof out->overflow_page);
    out->offset = out->overflow_page * page_bytes + TH_PAGE_HEAD;
    return out->overflow_page >= 2 && out->overflow_page < pages &&
           out->bytes <= (pages - out->overflow_page) * page_bytes - TH_PAGE_HEAD;
}

// --- making ---

void th_page_begin(unsigned char *page, size_t page_bytes, int kind)
{
    th_shard_page head = { .flags = (uint16_t)kind,
                           .lower = TH_PAGE_HEAD,
                           .upper = (uint16_t)page_bytes };

    memset(page, 0, page_bytes);
    memcpy(page, &head, sizeof head);
}

void th_page_set_number(unsigned char *page, uint64_t number)
{
    memcpy(page + offsetof(th_shard_page, number), &number, sizeof number);
}

// Two nodes at least are to fit a page: LMDB's rule.
_Bool th_page_fits_inside(size_t page_bytes, size_t size)
{
    size_t most = ((page_bytes - TH_PAGE_HEAD) / 2 & ~(size_t)1) - sizeof(uint16_t);

    return TH_NODE_HEAD + TH_KEY_BYTES + size <= most;
}

// A node begins at an even place.
static size_t node_bytes(size_t key_bytes, size_t data_bytes)
{
    return (TH_NODE_HEAD + key_bytes + data_bytes + 1) & ~(size_t)1;
}

_Bool th_page_has_room(const unsigned char *page, size_t size)
{
    th_shard_page head;

    memcpy(&head, page, sizeof head);
    return node_bytes(TH_KEY_BYTES, size) + sizeof(uint16_t) <= (size_t)(head.upper - head.lower);
}

// Nodes stand one before the other from the end of the page. Returns where key and data begin.
static unsigned char *add_node(unsigned char *page, const node_head *node, size_t data_bytes)
{
    th_shard_page head;

    memcpy(&head, page, sizeof head);
    head.upper = (uint16_t)(head.upper - node_bytes(node->key_bytes, data_bytes));
    memcpy(page + head.lower, &head.upper, sizeof head.upper);
    head.lower = (uint16_t)(head.lower + sizeof head.upper);
    memcpy(page, &head, sizeof head);
    memcpy(page + head.upper, node, sizeof *node);
    return page + head.upper + TH_NODE_HEAD;
}

void th_page_put_leaf(unsigned char *page, uint64_t key, const void *value, size_t size,
                      uint64_t own_page)
{
    node_head      node = { .low = (uint16_t)size,
                            .high = (uint16_t)(size >> 16),
                            .flags = value ? 0 : BIG_DATA,
                            .key_bytes = TH_KEY_BYTES };
    uint64_t       big_endian = htobe64(key);
    const void    *data = value ? value : &own_page;
    size_t         data_bytes = value ? size : sizeof own_page;
    unsigned char *to = add_node(page, &node, data_bytes);

    memcpy(to, &big_endian, sizeof big_endian);
    memcpy(to + sizeof big_endian, data, data_bytes);
}

void th_page_put_branch(unsigned char *page, int i, const th_shard_node *child)
{
    node_head      node = { .low = (uint16_t)child->page,
                            .high = (uint16_t)(child->page >> 16),
                            .flags = (uint16_t)(child->page >> 32),
                            .key_bytes = i > 0 ? TH_KEY_BYTES : 0 };
    uint64_t       big_endian = htobe64(child->first);
    unsigned char *to = add_node(page, &node, 0);

    memcpy(to, &big_endian, node.key_bytes);
}

void th_page_canonical(const unsigned char *page, size_t page_bytes, int kind, unsigned char *out)
{
    th_shard_page head;
    uint16_t      upper = UINT16_MAX; // becomes where the nodes begin

    memset(out, 0, page_bytes);
    memcpy(&head, page, sizeof head);
    memcpy(out, page, head.lower);
    for (int i = 0; i < (head.lower - TH_PAGE_HEAD) / 2; i++) {
        node_head node;
        size_t    offset = node_offset(page, i), size;

        memcpy(&node, page + offset, sizeof node);
        size = TH_NODE_HEAD + node.key_bytes;
        if (kind == TH_PAGE_LEAF)
            size += node.flags == BIG_DATA ? sizeof(uint64_t) : node.low | (size_t)node.high << 16;
        memcpy(out + offset, page + offset, size);
        if (offset < upper)
            upper = (uint16_t)offset;
    }
    memcpy(out + offsetof(th_shard_page, upper), &upper, sizeof upper);
}
