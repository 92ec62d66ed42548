#include "dataloader/tokenizer/wordpiece.h"

#include "base/memory.h"
#include "dataloader/tokenizer/unicode.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MOST (1u << 24) // of all tokens
#define NODE_BITS  21
#define CODE_BITS  21 // of a character
#define NODES_MOST (1u << NODE_BITS)

// Roots of the two tries. What starts a word stands behind START; what is written with "##",
// without them, behind MIDDLE. No word starts with "##": they are punctuation, words of their own.
// Behind the roots comes a node for each id, then those at which no token ends.
enum { NOWHERE, START, MIDDLE, FIRST_ID };

static inline uint64_t edge_of(uint32_t node, uint32_t code)
{
    return (uint64_t)node << CODE_BITS | code;
}

// Where an edge stands, or the empty slot where it belongs.
static inline size_t slot_of(const th_wordpiece *p, uint64_t edge)
{
    size_t slot = (size_t)(edge * 0x9E3779B97F4A7C15u >> 32) & p->slot_mask;

    while (p->slots[slot] != 0 && p->slots[slot] >> NODE_BITS != edge)
        slot = (slot + 1) & p->slot_mask;
    return slot;
}

// The node that an edge leads to; NOWHERE when there is none.
static inline uint32_t child_of(const th_wordpiece *p, uint64_t edge)
{
    return (uint32_t)p->slots[slot_of(p, edge)] & (NODES_MOST - 1);
}

static inline bool is_token(const th_wordpiece *p, uint32_t node)
{
    return node - FIRST_ID < p->count; // the roots wrap around
}

// The character at *at, which moves behind it. Of valid UTF-8.
static inline uint32_t next_code(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;

    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *at += 2;
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    }
    if (p[0] < 0xF0) {
        *at += 3;
        return (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    }
    *at += 4;
    return (p[0] & 0x7u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

static bool is_utf8(const char *text, size_t size)
{
    static const char    replacement[] = "\xEF\xBF\xBD";
    const unsigned char *at = (const unsigned char *)text, *end = at + size, *begin;

    while (at < end) {
        begin = at;
        if (th_utf8_next(&at, end) == TH_REPLACEMENT &&
            (at - begin != 3 || memcmp(begin, replacement, 3) != 0))
            return false;
    }
    return true;
}

// Nodes are numbered as they come; `ids` holds the ids of those that have one.
static th_code insert(th_wordpiece *p, int32_t *ids, uint32_t root, const char *text, size_t size,
                      int32_t id, th_err *err)
{
    th_code  rc = TH_OK;
    uint32_t node = root;

    for (const char *at = text, *end = text + size; at < end;) {
        uint64_t edge = edge_of(node, next_code(&at));
        size_t   slot = slot_of(p, edge);

        if (p->slots[slot] == 0) {
            TH_CHECK(p->nodes + p->count < NODES_MOST, TH_EDATA, "use a smaller vocabulary",
                     "the vocabulary's tokens have over %u beginnings", NODES_MOST - p->count);
            ids[p->nodes] = TH_NO_TOKEN;
            p->slots[slot] = edge << NODE_BITS | p->nodes++;
        }
        node = (uint32_t)p->slots[slot] & (NODES_MOST - 1);
    }
    ids[node] = id;
out:
    return rc;
}

// Empty slots for the edges to so many nodes.
static th_code make_slots(th_wordpiece *p, size_t nodes, th_err *err)
{
    th_code rc = TH_OK;
    size_t  slots = 1024;
    void   *memory;

    while (slots < 2 * nodes)
        slots *= 2;
    TH_TRY(th_alloc(slots, sizeof *p->slots, "the vocabulary", &memory, err));
    p->slots = memory;
    p->slot_mask = slots - 1;
out:
    return rc;
}

// Room for `ids` tokens of so many bytes in all.
static th_code make_room(th_wordpiece *p, uint32_t ids, size_t bytes, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;

    TH_CHECK(FIRST_ID + bytes < BYTES_MOST, TH_EDATA, "use a smaller vocabulary",
             "a vocabulary of %zu bytes, more than %u", bytes, BYTES_MOST);
    TH_TRY(th_alloc(ids, sizeof *p->rows, "the vocabulary", &memory, err));
    p->rows = memory;
    TH_TRY(th_alloc(bytes, 1, "the vocabulary", &memory, err));
    p->bytes = memory;
    TH_TRY(make_slots(p, FIRST_ID + bytes, err));
    p->count = ids;
    p->nodes = FIRST_ID;
out:
    return rc;
}

// Gives each node its number for good, and the edges a table that is no larger than they need: it
// then stays in the cache. Tokens share their beginnings, so there are far fewer nodes than bytes.
static th_code number_nodes(th_wordpiece *p, const int32_t *ids, th_err *err)
{
    th_code   rc = TH_OK;
    uint64_t *old = p->slots;
    size_t    count = p->slot_mask + 1;
    uint32_t  next = FIRST_ID + p->count, *number;
    void     *memory;

    TH_TRY(th_alloc(p->nodes, sizeof *number, "the vocabulary", &memory, err));
    number = memory;
    for (uint32_t node = 0; node < p->nodes; node++)
        number[node] = node < FIRST_ID            ? node
                       : ids[node] == TH_NO_TOKEN ? next++
                                                  : FIRST_ID + (uint32_t)ids[node];
    rc = make_slots(p, p->nodes, err);
    for (size_t i = 0; i < count && rc == TH_OK; i++) {
        uint32_t parent = (uint32_t)(old[i] >> (NODE_BITS + CODE_BITS));
        uint32_t code = (uint32_t)(old[i] >> NODE_BITS) & ((1u << CODE_BITS) - 1);
        uint64_t edge = edge_of(number[parent], code);

        if (old[i] != 0)
            p->slots[slot_of(p, edge)] = edge << NODE_BITS | number[old[i] & (NODES_MOST - 1)];
    }
    if (rc == TH_OK)
        free(old);
    free(number);
out:
    return rc;
}

static bool is_middle(const char *text, size_t size)
{
    return size > 2 && text[0] == '#' && text[1] == '#';
}

static th_code add(th_wordpiece *p, int32_t *ids, const th_token_row *row, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(p->rows[row->id].size == 0, TH_EDATA, "use the vocabulary as its model came with it",
             "two tokens with the id %d: \"%.*s\" is the second", (int)row->id,
             row->size < 80 ? (int)row->size : 80, row->text);
    p->rows[row->id] = (struct th_piece){ p->bytes_used, (uint32_t)row->size };
    if (row->size > 0)
        memcpy(p->bytes + p->bytes_used, row->text, row->size);
    p->bytes_used += row->size;
    if (row->size == 0 || !is_utf8(row->text, row->size))
        return TH_OK; // no word has it
    if (is_middle(row->text, row->size))
        TH_TRY(insert(p, ids, MIDDLE, row->text + 2, row->size - 2, row->id, err));
    else
        TH_TRY(insert(p, ids, START, row->text, row->size, row->id, err));
out:
    return rc;
}

th_code th_wordpiece_open(const th_token_row *rows, size_t count, const char *unknown,
                          int64_t most_characters, th_wordpiece *out, th_err *err)
{
    th_code      rc = TH_OK;
    th_wordpiece p = { .most_characters = most_characters };
    size_t       bytes = 0;
    int32_t      last = -1, *ids = NULL;
    void        *memory;

    for (size_t i = 0; i < count; i++) {
        TH_CHECK(rows[i].id >= 0 && rows[i].id < TH_PIECES_MOST && rows[i].size < BYTES_MOST,
                 TH_EDATA, "use the vocabulary as its model came with it",
                 "token %zu of the vocabulary has the id %d, not 0 to %d", i, (int)rows[i].id,
                 TH_PIECES_MOST - 1);
        last = rows[i].id > last ? rows[i].id : last;
        bytes += rows[i].size;
    }
    TH_TRY(make_room(&p, (uint32_t)(last + 1), bytes, err));
    TH_TRY(th_alloc(FIRST_ID + bytes, sizeof *ids, "the vocabulary", &memory, err));
    ids = memory;
    for (size_t i = 0; i < count; i++)
        TH_TRY(add(&p, ids, &rows[i], err));
    TH_TRY(number_nodes(&p, ids, err));
    p.unknown = th_wordpiece_find(&p, unknown, strlen(unknown));
    TH_CHECK(p.unknown != TH_NO_TOKEN, TH_EDATA, "use the vocabulary as its model came with it",
             "the vocabulary has no token \"%s\"", unknown);
    *out = p;
out:
    free(ids);
    if (rc != TH_OK)
        th_wordpiece_close(&p);
    return rc;
}

void th_wordpiece_close(th_wordpiece *p)
{
    free(p->rows);
    free(p->bytes);
    free(p->slots);
    *p = (th_wordpiece){ 0 };
}

int32_t th_wordpiece_find(const th_wordpiece *p, const char *text, size_t size)
{
    bool        middle = is_middle(text, size);
    uint32_t    node = middle ? MIDDLE : START;
    const char *at = middle ? text + 2 : text, *end = text + size;

    if (!is_utf8(text, size))
        return TH_NO_TOKEN;
    while (at < end && node != NOWHERE)
        node = child_of(p, edge_of(node, next_code(&at)));
    return is_token(p, node) ? (int32_t)(node - FIRST_ID) : TH_NO_TOKEN;
}

static bool has_more_characters(const char *word, size_t size, int64_t most)
{
    int64_t count = 0;

    for (size_t i = 0; i < size && count <= most; i++)
        count += ((unsigned char)word[i] & 0xC0) != 0x80;
    return count > most;
}

int64_t th_wordpiece_word(const th_wordpiece *p, const char *word, size_t size, int32_t *ids)
{
    const char *at = word, *end = word + size;
    uint32_t    root = START;
    int64_t     count = 0;

    if ((int64_t)size > p->most_characters && has_more_characters(word, size, p->most_characters))
        goto unknown;
    while (at < end) {
        const char *next = at;
        uint32_t    node = root, longest = NOWHERE;

        while (next < end && (node = child_of(p, edge_of(node, next_code(&next)))) != NOWHERE)
            if (is_token(p, node)) {
                longest = node;
                at = next;
            }
        if (longest == NOWHERE)
            goto unknown;
        ids[count++] = (int32_t)(longest - FIRST_ID);
        root = MIDDLE;
    }
    return count;
unknown:
    ids[0] = p->unknown;
    return 1;
}
