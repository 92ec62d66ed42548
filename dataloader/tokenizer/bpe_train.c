// Training: the pair that occurs most often becomes one symbol, again and again. The distinct words
// stand in one array of places, one for each byte; a merge joins two places and re-counts only the
// pairs to its left and right. Each pair has a list of the places where it stands, so a merge costs
// its own occurrences and no search: the whole is linear in the bytes of the words, times the log
// of a heap. Sennrich et al. 2016, section 3.2.
#include "dataloader/tokenizer/tokenizer.h"

#include "base/memory.h"
#include "dataloader/tokenizer/merges.h"
#include "dataloader/tokenizer/pairs.h"
#include "dataloader/tokenizer/words.h"
#include <stdlib.h>

#define NONE (-1)

typedef struct {
    struct place {
        uint32_t symbol;
        uint32_t word;
        int32_t  before, next;   // in the word, NONE at its ends
        uint32_t pair;           // of this symbol and the next
        int32_t  earlier, later; // in the pair's list of places
    } * places;
    th_words   words;
    th_symbols symbols;
    th_pairs   pairs;
    uint32_t  *merges; // [2 most] left and right
    size_t     merged;
} trainer;

// A list is in no order: only places of the same pair of equal symbols depend on it, see merge_run.
static th_code link_pair(trainer *t, int32_t at, th_err *err)
{
    th_code             rc = TH_OK;
    struct place       *place = &t->places[at];
    struct th_pair_row *row;

    TH_TRY(
        th_pairs_find(&t->pairs, place->symbol, t->places[place->next].symbol, &place->pair, err));
    row = &t->pairs.rows[place->pair];
    place->earlier = NONE;
    place->later = row->head;
    if (row->head != NONE)
        t->places[row->head].earlier = at;
    row->head = at;
    TH_TRY(th_pairs_count(&t->pairs, place->pair, t->words.rows[place->word].times, err));
out:
    return rc;
}

static th_code unlink_pair(trainer *t, int32_t at, th_err *err)
{
    struct place *place = &t->places[at];

    if (place->later != NONE)
        t->places[place->later].earlier = place->earlier;
    if (place->earlier != NONE)
        t->places[place->earlier].later = place->later;
    else
        t->pairs.rows[place->pair].head = place->later;
    return th_pairs_count(&t->pairs, place->pair, -t->words.rows[place->word].times, err);
}

static th_code merge_place(trainer *t, int32_t at, uint32_t result, th_err *err)
{
    th_code       rc = TH_OK;
    struct place *place = &t->places[at];
    int32_t       right = place->next, before = place->before, next = t->places[right].next;

    TH_TRY(unlink_pair(t, at, err));
    if (before != NONE)
        TH_TRY(unlink_pair(t, before, err));
    if (next != NONE)
        TH_TRY(unlink_pair(t, right, err));
    place->symbol = result;
    place->next = next;
    if (before != NONE)
        TH_TRY(link_pair(t, before, err));
    if (next != NONE) {
        t->places[next].before = at;
        TH_TRY(link_pair(t, at, err));
    }
out:
    return rc;
}

// In a run of equal symbols the pairs overlap, and are merged from the run's left end.
static th_code merge_run(trainer *t, int32_t at, uint32_t symbol, uint32_t result, th_err *err)
{
    th_code rc = TH_OK;

    while (t->places[at].before != NONE && t->places[t->places[at].before].symbol == symbol)
        at = t->places[at].before;
    while (at != NONE && t->places[at].symbol == symbol && t->places[at].next != NONE &&
           t->places[t->places[at].next].symbol == symbol) {
        TH_TRY(merge_place(t, at, result, err));
        at = t->places[at].next;
    }
out:
    return rc;
}

static th_code merge_pair(trainer *t, uint32_t pair, th_err *err)
{
    th_code  rc = TH_OK;
    uint32_t left = t->pairs.rows[pair].left, right = t->pairs.rows[pair].right, result;

    TH_TRY(th_symbols_merge(&t->symbols, left, right, &result, err));
    while (t->pairs.rows[pair].head != NONE) {
        int32_t at = t->pairs.rows[pair].head;

        TH_TRY(left == right ? merge_run(t, at, left, result, err)
                             : merge_place(t, at, result, err));
    }
    t->merges[2 * t->merged] = left;
    t->merges[2 * t->merged + 1] = right;
    t->merged++;
out:
    return rc;
}

static th_code lay_out(trainer *t, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;

    TH_TRY(th_alloc(t->words.bytes_used, sizeof *t->places, "training a tokenizer", &memory, err));
    t->places = memory;
    for (uint32_t w = 0; w < t->words.count; w++) {
        int32_t first = (int32_t)t->words.rows[w].at;
        int32_t last = first + (int32_t)t->words.rows[w].size - 1;

        for (int32_t at = first; at <= last; at++) {
            uint32_t symbol = th_symbol_of_byte((unsigned char)t->words.bytes[at]);

            t->places[at] =
                (struct place){ .symbol = at < last ? symbol : symbol + TH_BYTE_SYMBOLS / 2,
                                .word = w,
                                .before = at > first ? at - 1 : NONE,
                                .next = at < last ? at + 1 : NONE };
        }
        for (int32_t at = first; at < last; at++)
            TH_TRY(link_pair(t, at, err));
    }
    TH_TRY(th_pairs_queue(&t->pairs, err));
out:
    return rc;
}

static th_code count_words(trainer *t, th_next_caption next, void *context, th_err *err)
{
    th_code     rc = TH_OK;
    const char *text;
    size_t      size;

    while (next(context, &text, &size))
        TH_TRY(th_words_add(&t->words, text, size, err));
    TH_CHECK(t->words.count > 0, TH_EDATA, "give captions with words in them",
             "cannot train a tokenizer: there are no captions");
out:
    return rc;
}

th_code th_tokenizer_train(th_next_caption next, void *context, int64_t vocabulary,
                           th_cleanup cleanup, char **out_merges, size_t *out_size, th_err *err)
{
    const int64_t least = TH_BYTE_SYMBOLS + 2;
    th_code       rc = TH_OK;
    trainer       t = { 0 };
    void         *memory;
    size_t        most = (size_t)(vocabulary - least);
    uint32_t      pair;

    TH_CHECK(vocabulary >= least && vocabulary <= TH_SYMBOLS_MOST, TH_EUSAGE,
             "8192 suits some 100,000 short captions, 49408 is CLIP's",
             "a vocabulary of %lld is not between %lld and %u", (long long)vocabulary,
             (long long)least, TH_SYMBOLS_MOST);
    t.words.cleaner.kind = cleanup == TH_CLEANUP_HF ? TH_CLEANUP_HF : TH_CLEANUP_OPEN_CLIP;
    TH_TRY(th_symbols_open(&t.symbols, (uint32_t)most, err));
    TH_TRY(th_pairs_open(&t.pairs, &t.symbols, err));
    TH_TRY(th_alloc(2 * most, sizeof *t.merges, "training a tokenizer", &memory, err));
    t.merges = memory;
    TH_TRY(count_words(&t, next, context, err));
    TH_TRY(lay_out(&t, err));
    while (t.merged < most && (pair = th_pairs_next(&t.pairs)) != TH_NO_PAIR) {
        TH_TRY(merge_pair(&t, pair, err));
        TH_TRY(th_pairs_queue(&t.pairs, err));
    }
    TH_TRY(th_merges_write(&t.symbols, t.merges, t.merged, out_merges, out_size, err));
out:
    th_words_close(&t.words);
    th_symbols_close(&t.symbols);
    th_pairs_close(&t.pairs);
    free(t.places);
    free(t.merges);
    return rc == TH_OK ? rc : th_during(err, "training a tokenizer");
}
