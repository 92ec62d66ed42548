#include "dataloader/tokenizer/bpe.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

#define EMPTY      UINT64_MAX
#define NO_RANK    UINT32_MAX
#define SHORT_WORD 48 // bytes: up to here a scan for each round beats the heap
#define BYTE_PAIRS ((size_t)TH_BYTE_SYMBOLS / 2 * TH_BYTE_SYMBOLS) // only the second may end a word

_Static_assert(TH_SYMBOLS_MOST <= 1u << 20, "a slot has 20 bits for a symbol");

th_code th_bpe_open(th_bpe *bpe, uint32_t merges, th_err *err)
{
    th_code rc = TH_OK;
    size_t  slots = 1024;
    void   *memory;

    *bpe = (th_bpe){ .room = merges };
    TH_CHECK(merges <= TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS, TH_EUSAGE, "use fewer merges",
             "%u merges, more than %u", merges, TH_SYMBOLS_MOST - TH_BYTE_SYMBOLS);
    while (slots < 2 * (size_t)merges)
        slots *= 2;
    TH_TRY(th_symbols_open(&bpe->symbols, merges, err));
    TH_TRY(th_alloc(merges, sizeof *bpe->result, "the tokenizer's merges", &memory, err));
    bpe->result = memory;
    TH_TRY(th_alloc(slots, sizeof *bpe->slots, "the tokenizer's merges", &memory, err));
    bpe->slots = memory;
    memset(bpe->slots, 0xFF, slots * sizeof *bpe->slots);
    bpe->slot_mask = slots - 1;
    TH_TRY(th_alloc(BYTE_PAIRS, sizeof *bpe->byte_ranks, "the tokenizer's merges", &memory, err));
    bpe->byte_ranks = memory;
    memset(bpe->byte_ranks, 0xFF, BYTE_PAIRS * sizeof *bpe->byte_ranks);
out:
    return rc;
}

void th_bpe_close(th_bpe *bpe)
{
    th_symbols_close(&bpe->symbols);
    free(bpe->slots);
    free(bpe->result);
    free(bpe->byte_ranks);
    free(bpe->id);
    *bpe = (th_bpe){ 0 };
}

static inline size_t first_slot(const th_bpe *bpe, uint64_t pair)
{
    return (size_t)(pair * 0x9E3779B97F4A7C15u >> 32) & bpe->slot_mask;
}

static inline uint32_t rank_of(const th_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 20 | right;

    for (size_t slot = first_slot(bpe, pair);; slot = (slot + 1) & bpe->slot_mask) {
        uint64_t held = bpe->slots[slot];

        if (held >> 24 == pair)
            return (uint32_t)held & 0xFFFFFF;
        if (held == EMPTY)
            return NO_RANK;
    }
}

th_code th_bpe_add(th_bpe *bpe, uint32_t left, uint32_t right, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t pair = (uint64_t)left << 20 | right;
    size_t   slot = first_slot(bpe, pair);

    TH_CHECK(bpe->merges < bpe->room, TH_EUSAGE, "use fewer merges", "more than %u merges",
             bpe->room);
    TH_TRY(th_symbols_merge(&bpe->symbols, left, right, &bpe->result[bpe->merges], err));
    if (rank_of(bpe, left, right) == NO_RANK) {
        while (bpe->slots[slot] != EMPTY)
            slot = (slot + 1) & bpe->slot_mask;
        bpe->slots[slot] = pair << 24 | bpe->merges;
        if (left < TH_BYTE_SYMBOLS / 2 && right < TH_BYTE_SYMBOLS)
            bpe->byte_ranks[left * TH_BYTE_SYMBOLS + right] = bpe->merges;
    }
    bpe->merges++;
out:
    return rc;
}

th_code th_bpe_finish(th_bpe *bpe, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;

    TH_TRY(th_alloc(bpe->symbols.count, sizeof *bpe->id, "the tokenizer's ids", &memory, err));
    free(bpe->id);
    bpe->id = memory;
    for (uint32_t i = 0; i < TH_BYTE_SYMBOLS; i++)
        bpe->id[i] = (int32_t)i;
    for (uint32_t rank = 0; rank < bpe->merges; rank++)
        bpe->id[bpe->result[rank]] = (int32_t)(TH_BYTE_SYMBOLS + rank);
out:
    return rc;
}

static void spell(const char *word, size_t size, uint32_t *symbols)
{
    for (size_t i = 0; i < size; i++)
        symbols[i] = th_symbol_of_byte((unsigned char)word[i]);
    symbols[size - 1] += TH_BYTE_SYMBOLS / 2;
}

// A round is one look at the ranks for the lowest and one pass that merges it wherever it stands.
static int64_t merge_short(const th_bpe *bpe, uint32_t *symbols, int64_t n)
{
    uint32_t ranks[SHORT_WORD]; // of the pair (i, i + 1)

    for (int64_t i = 0; i + 1 < n; i++)
        ranks[i] = bpe->byte_ranks[symbols[i] * TH_BYTE_SYMBOLS + symbols[i + 1]];
    for (;;) {
        uint32_t lowest = NO_RANK;
        int64_t  to = 0;
        bool     merged = false; // the symbol before this one

        for (int64_t i = 0; i + 1 < n; i++)
            lowest = ranks[i] < lowest ? ranks[i] : lowest;
        if (lowest == NO_RANK)
            return n;
        for (int64_t i = 0; i < n; to++) { // to <= i: what is still to be read is never overwritten
            bool merge = i + 1 < n && ranks[i] == lowest;

            symbols[to] = merge ? bpe->result[lowest] : symbols[i];
            if (to > 0)
                ranks[to - 1] =
                    merge || merged ? rank_of(bpe, symbols[to - 1], symbols[to]) : ranks[i - 1];
            merged = merge;
            i += merge ? 2 : 1;
        }
        n = to;
    }
}

// The pairs of a long word: a doubly linked list of symbols by place, and a heap of (rank, place).
// An entry whose pair has changed since is recognised by its rank. Pairs that arise in a round wait
// behind the heap until the round is over: CLIP looks for a new lowest rank only then.
typedef struct {
    const th_bpe *bpe;
    uint32_t     *symbols; // [n] by place; TH_NO_SYMBOL where a merge has swallowed it
    int32_t      *next, *before;
    uint64_t     *heap; // [3 n]: n - 1 pairs at first, two at most for each of n - 1 merges
    size_t        count, waiting;
} long_word;

static void sift_down(uint64_t *heap, size_t count, size_t at)
{
    uint64_t moved = heap[at];

    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (moved <= heap[child])
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(uint64_t *heap, size_t at)
{
    uint64_t moved = heap[at];

    while (at > 0 && moved < heap[(at - 1) / 2]) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

static uint32_t rank_at(const long_word *w, int32_t place)
{
    int32_t right = w->next[place];

    return w->symbols[place] == TH_NO_SYMBOL || right < 0
               ? NO_RANK
               : rank_of(w->bpe, w->symbols[place], w->symbols[right]);
}

static void merge_at(long_word *w, int32_t place, uint32_t rank, uint64_t *waiting)
{
    int32_t right = w->next[place], around[2] = { w->before[place], place };

    w->symbols[place] = w->bpe->result[rank];
    w->symbols[right] = TH_NO_SYMBOL;
    w->next[place] = w->next[right];
    if (w->next[right] >= 0)
        w->before[w->next[right]] = place;
    for (int i = 0; i < 2; i++) {
        uint32_t arisen = around[i] < 0 ? NO_RANK : rank_at(w, around[i]);

        if (arisen != NO_RANK)
            waiting[w->waiting++] = (uint64_t)arisen << 32 | (uint32_t)around[i];
    }
}

static void merge_round(long_word *w)
{
    uint32_t  rank = (uint32_t)(w->heap[0] >> 32);
    uint64_t *waiting = w->heap + w->count;

    w->waiting = 0;
    while (w->count > 0 && w->heap[0] >> 32 == rank) {
        int32_t place = (int32_t)(uint32_t)w->heap[0];

        w->heap[0] = w->heap[--w->count];
        if (w->count > 0)
            sift_down(w->heap, w->count, 0);
        if (rank_at(w, place) == rank)
            merge_at(w, place, rank, waiting);
    }
    for (size_t i = 0; i < w->waiting; i++) {
        w->heap[w->count] = waiting[i];
        sift_up(w->heap, w->count++);
    }
}

static int64_t merge_long(long_word *w, int32_t n)
{
    int64_t to = 0;

    for (int32_t i = 0; i < n; i++) {
        w->next[i] = i + 1 < n ? i + 1 : -1;
        w->before[i] = i - 1;
    }
    w->count = 0;
    for (int32_t i = 0; i + 1 < n; i++) {
        uint32_t rank = rank_at(w, i);

        if (rank != NO_RANK)
            w->heap[w->count++] = (uint64_t)rank << 32 | (uint32_t)i;
    }
    for (size_t i = w->count / 2; i-- > 0;)
        sift_down(w->heap, w->count, i);
    while (w->count > 0)
        merge_round(w);
    for (int32_t i = 0; i >= 0; i = w->next[i])
        w->symbols[to++] = w->symbols[i];
    return to;
}

int64_t th_bpe_word(const th_bpe *bpe, const char *word, size_t size, th_scratch *scratch,
                    const uint32_t **out_symbols)
{
    long_word w = { .bpe = bpe };
    bool      is_long = size > SHORT_WORD;
    char     *memory;

    if (size > INT32_MAX / 2)
        return -1;
    memory = th_scratch_take(scratch, is_long ? size * 36 : size * 4);
    if (!memory)
        return -1;
    w.heap = (uint64_t *)(void *)memory;
    w.symbols = (uint32_t *)(void *)(is_long ? memory + size * 24 : memory);
    *out_symbols = w.symbols;
    spell(word, size, w.symbols);
    if (!is_long)
        return merge_short(bpe, w.symbols, (int64_t)size);
    w.next = (int32_t *)(void *)(w.symbols + size);
    w.before = w.next + size;
    return merge_long(&w, (int32_t)size);
}
