#include "dataloader/tokenizer/wordpiece.h"

#include "base/memory.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MOST (1u << 24)

// Roots of the two tries. What starts a word stands behind START; what is written with "##",
// without them, behind MIDDLE. No word starts with "##": they are punctuation, words of their own.
enum { NOWHERE, START, MIDDLE, FIRST_FREE };

static inline size_t first_slot(const th_wordpiece *p, uint64_t edge)
{
    return (size_t)(edge * 0x9E3779B97F4A7C15u >> 32) & p->slot_mask;
}

static inline uint32_t child_of(const th_wordpiece *p, uint32_t node, unsigned char byte)
{
    uint64_t edge = (uint64_t)node << 8 | byte;

    for (size_t slot = first_slot(p, edge);; slot = (slot + 1) & p->slot_mask) {
        uint64_t held = p->slots[slot];

        if (held >> 24 == edge)
            return (uint32_t)held & 0xFFFFFF;
        if (held == 0) // no edge leaves node 0, so none is 0
            return NOWHERE;
    }
}

static void insert(th_wordpiece *p, uint32_t root, const char *text, size_t size, int32_t id)
{
    uint32_t node = root;

    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        uint32_t      child = child_of(p, node, byte);

        if (child == NOWHERE) {
            uint64_t edge = (uint64_t)node << 8 | byte;
            size_t   slot = first_slot(p, edge);

            while (p->slots[slot] != 0)
                slot = (slot + 1) & p->slot_mask;
            child = p->nodes++;
            p->ids[child] = TH_NO_TOKEN;
            p->slots[slot] = edge << 24 | child;
        }
        node = child;
    }
    p->ids[node] = id;
}

// Room for a node for each byte.
static th_code make_room(th_wordpiece *p, uint32_t ids, size_t bytes, th_err *err)
{
    th_code rc = TH_OK;
    size_t  slots = 1024, nodes = FIRST_FREE + bytes;
    void   *memory;

    TH_CHECK(nodes < NODES_MOST, TH_EDATA, "use a smaller vocabulary",
             "a vocabulary of %zu bytes, more than %u", bytes, NODES_MOST);
    while (slots < 2 * nodes)
        slots *= 2;
    TH_TRY(th_alloc(ids, sizeof *p->rows, "the vocabulary", &memory, err));
    p->rows = memory;
    TH_TRY(th_alloc(bytes, 1, "the vocabulary", &memory, err));
    p->bytes = memory;
    TH_TRY(th_alloc(nodes, sizeof *p->ids, "the vocabulary", &memory, err));
    p->ids = memory;
    TH_TRY(th_alloc(slots, sizeof *p->slots, "the vocabulary", &memory, err));
    p->slots = memory;
    p->slot_mask = slots - 1;
    p->count = ids;
    p->nodes = FIRST_FREE;
    p->ids[NOWHERE] = p->ids[START] = p->ids[MIDDLE] = TH_NO_TOKEN;
out:
    return rc;
}

static bool is_middle(const char *text, size_t size)
{
    return size > 2 && text[0] == '#' && text[1] == '#';
}

static th_code add(th_wordpiece *p, const th_token_row *row, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(p->rows[row->id].size == 0, TH_EDATA, "use the vocabulary as its model came with it",
             "two tokens with the id %d: \"%.*s\" is the second", (int)row->id,
             row->size < 80 ? (int)row->size : 80, row->text);
    p->rows[row->id] = (struct th_piece){ p->bytes_used, (uint32_t)row->size };
    if (row->size > 0)
        memcpy(p->bytes + p->bytes_used, row->text, row->size);
    p->bytes_used += row->size;
    if (is_middle(row->text, row->size))
        insert(p, MIDDLE, row->text + 2, row->size - 2, row->id);
    else
        insert(p, START, row->text, row->size, row->id);
out:
    return rc;
}

th_code th_wordpiece_open(const th_token_row *rows, size_t count, const char *unknown,
                          int64_t most_characters, th_wordpiece *out, th_err *err)
{
    th_code      rc = TH_OK;
    th_wordpiece p = { .most_characters = most_characters };
    size_t       bytes = 0;
    int32_t      last = -1;

    for (size_t i = 0; i < count; i++) {
        TH_CHECK(rows[i].id >= 0 && rows[i].id < TH_PIECES_MOST && rows[i].size < NODES_MOST,
                 TH_EDATA, "use the vocabulary as its model came with it",
                 "token %zu of the vocabulary has the id %d, not 0 to %d", i, (int)rows[i].id,
                 TH_PIECES_MOST - 1);
        last = rows[i].id > last ? rows[i].id : last;
        bytes += rows[i].size;
    }
    TH_TRY(make_room(&p, (uint32_t)(last + 1), bytes, err));
    for (size_t i = 0; i < count; i++)
        TH_TRY(add(&p, &rows[i], err));
    p.unknown = th_wordpiece_find(&p, unknown, strlen(unknown));
    TH_CHECK(p.unknown != TH_NO_TOKEN, TH_EDATA, "use the vocabulary as its model came with it",
             "the vocabulary has no token \"%s\"", unknown);
    *out = p;
out:
    if (rc != TH_OK)
        th_wordpiece_close(&p);
    return rc;
}

void th_wordpiece_close(th_wordpiece *p)
{
    free(p->rows);
    free(p->bytes);
    free(p->slots);
    free(p->ids);
    *p = (th_wordpiece){ 0 };
}

int32_t th_wordpiece_find(const th_wordpiece *p, const char *text, size_t size)
{
    bool     middle = is_middle(text, size);
    uint32_t node = middle ? MIDDLE : START;

    for (size_t i = middle ? 2 : 0; i < size && node != NOWHERE; i++)
        node = child_of(p, node, (unsigned char)text[i]);
    return p->ids[node];
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
    int64_t  count = 0;
    uint32_t root = START;

    if ((int64_t)size > p->most_characters && has_more_characters(word, size, p->most_characters))
        goto unknown;
    for (size_t at = 0, behind; at < size; at = behind) {
        uint32_t node = root;
        int32_t  longest = TH_NO_TOKEN;

        behind = at;
        for (size_t i = at; i < size; i++) {
            node = child_of(p, node, (unsigned char)word[i]);
            if (node == NOWHERE)
                break;
            if (p->ids[node] != TH_NO_TOKEN) {
                longest = p->ids[node];
                behind = i + 1;
            }
        }
        if (longest == TH_NO_TOKEN)
            goto unknown;
        ids[count++] = longest;
        root = MIDDLE;
    }
    return count;
unknown:
    ids[0] = p->unknown;
    return 1;
}
