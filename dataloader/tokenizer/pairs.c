#include "dataloader/tokenizer/pairs.h"

#include "base/memory.h"
#include "dataloader/tokenizer/grow.h"
#include <stdlib.h>
#include <string.h>

static const char fix_memory[] = "train on fewer captions";

static size_t slot_of(const th_pairs *pairs, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    size_t   slot = (size_t)(key >> 32) & pairs->slot_mask;

    for (;; slot = (slot + 1) & pairs->slot_mask) {
        uint32_t pair = pairs->slots[slot];

        if (pair == TH_NO_PAIR ||
            (pairs->rows[pair].left == left && pairs->rows[pair].right == right))
            return slot;
    }
}

static th_code grow_slots(th_pairs *pairs, th_err *err)
{
    th_code rc = TH_OK;
    size_t  count = pairs->slots ? 2 * (pairs->slot_mask + 1) : 1 << 16;
    void   *slots;

    TH_TRY(th_alloc(count, sizeof *pairs->slots, "pairs of tokens", &slots, err));
    free(pairs->slots);
    pairs->slots = slots;
    pairs->slot_mask = count - 1;
    memset(pairs->slots, 0xFF, count * sizeof *pairs->slots);
    for (uint32_t i = 0; i < pairs->count; i++)
        pairs->slots[slot_of(pairs, pairs->rows[i].left, pairs->rows[i].right)] = i;
out:
    return rc;
}

th_code th_pairs_open(th_pairs *pairs, const th_symbols *symbols, th_err *err)
{
    *pairs = (th_pairs){ .symbols = symbols };
    return grow_slots(pairs, err);
}

void th_pairs_close(th_pairs *pairs)
{
    free(pairs->rows);
    free(pairs->heap);
    free(pairs->slots);
    free(pairs->grown);
    *pairs = (th_pairs){ 0 };
}

th_code th_pairs_find(th_pairs *pairs, uint32_t left, uint32_t right, uint32_t *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  slot = slot_of(pairs, left, right);
    void   *rows;

    if (pairs->slots[slot] == TH_NO_PAIR) {
        rows =
            th_grow(pairs->rows, &pairs->row_room, (size_t)pairs->count + 1, sizeof *pairs->rows);
        TH_CHECK(rows, TH_EIO, fix_memory, "no memory for %u pairs of tokens", pairs->count);
        pairs->rows = rows;
        if (2 * (size_t)pairs->count >= pairs->slot_mask) {
            TH_TRY(grow_slots(pairs, err));
            slot = slot_of(pairs, left, right);
        }
        pairs->rows[pairs->count] =
            (struct th_pair_row){ .left = left, .right = right, .head = -1 };
        pairs->slots[slot] = pairs->count++;
    }
    *out = pairs->slots[slot];
out:
    return rc;
}

th_code th_pairs_count(th_pairs *pairs, uint32_t pair, int64_t more, th_err *err)
{
    th_code             rc = TH_OK;
    struct th_pair_row *row = &pairs->rows[pair];
    void               *grown;

    row->count += more;
    if (more <= 0 || row->grown)
        return rc;
    grown = th_grow(pairs->grown, &pairs->grown_room, pairs->grown_count + 1, sizeof *pairs->grown);
    TH_CHECK(grown, TH_EIO, fix_memory, "no memory for %u pairs of tokens", pairs->count);
    pairs->grown = grown;
    pairs->grown[pairs->grown_count++] = pair;
    row->grown = true;
out:
    return rc;
}

// Whether entry a is to be taken before b.
static bool is_before(const th_pairs *pairs, const struct th_pair_entry *a,
                      const struct th_pair_entry *b)
{
    const struct th_pair_row *x = &pairs->rows[a->pair], *y = &pairs->rows[b->pair];

    if (a->claimed != b->claimed)
        return a->claimed > b->claimed;
    if (x->left == y->left)
        return th_symbols_compare(pairs->symbols, x->right, y->right) < 0;
    return th_symbols_compare(pairs->symbols, x->left, y->left) < 0;
}

static th_code push(th_pairs *pairs, uint32_t pair, th_err *err)
{
    th_code              rc = TH_OK;
    struct th_pair_entry entry = { pairs->rows[pair].count, pair };
    void                *heap;
    size_t               at = pairs->heap_count;

    heap = th_grow(pairs->heap, &pairs->heap_room, at + 1, sizeof *pairs->heap);
    TH_CHECK(heap, TH_EIO, fix_memory, "no memory for %u pairs of tokens", pairs->count);
    pairs->heap = heap;
    pairs->heap_count++;
    for (; at > 0 && is_before(pairs, &entry, &pairs->heap[(at - 1) / 2]); at = (at - 1) / 2)
        pairs->heap[at] = pairs->heap[(at - 1) / 2];
    pairs->heap[at] = entry;
out:
    return rc;
}

// Puts an entry where the top stood, or below.
static void replace_top(th_pairs *pairs, struct th_pair_entry entry)
{
    struct th_pair_entry *heap = pairs->heap;
    size_t                at = 0;

    for (size_t child; (child = 2 * at + 1) < pairs->heap_count; at = child) {
        if (child + 1 < pairs->heap_count && is_before(pairs, &heap[child + 1], &heap[child]))
            child++;
        if (!is_before(pairs, &heap[child], &entry))
            break;
        heap[at] = heap[child];
    }
    heap[at] = entry;
}

th_code th_pairs_queue(th_pairs *pairs, th_err *err)
{
    th_code rc = TH_OK;

    for (size_t i = 0; i < pairs->grown_count; i++) {
        struct th_pair_row *row = &pairs->rows[pairs->grown[i]];

        row->grown = false;
        if (row->count >= 2)
            TH_TRY(push(pairs, pairs->grown[i], err));
    }
    pairs->grown_count = 0;
out:
    return rc;
}

uint32_t th_pairs_next(th_pairs *pairs)
{
    while (pairs->heap_count > 0) {
        struct th_pair_entry top = pairs->heap[0];
        int64_t              count = pairs->rows[top.pair].count;

        if (top.claimed != count && count >= 2) {
            top.claimed = count;
            replace_top(pairs, top);
            continue;
        }
        if (--pairs->heap_count > 0)
            replace_top(pairs, pairs->heap[pairs->heap_count]);
        if (top.claimed == count)
            return top.pair;
    }
    return TH_NO_PAIR;
}
