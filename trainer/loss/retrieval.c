// Both ways are one task: queries rank candidates, and each query has answers among these. A rank
// comes from counting how many candidates are below and equal to the query's best answer, so
// nothing is sorted and no similarity is kept.
//
// Every product has the same shape, SIDE x SIDE x d, with rows of zero where queries or candidates
// run out: then equal features have similarities of equal bits wherever they stand, and ties are
// seen. Ranks take whole blocks of queries for the same reason: a result does not depend on W.
#include "trainer/loss/retrieval.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/nn/clones.h"
#include "trainer/nn/gemm.h"

#include <assert.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIDE ((int64_t)192) // a multiple of 48, in which all of OpenBLAS's kernels treat rows alike

struct direction {
    int64_t        queries, candidates, d;
    const th_real *query, *candidate;         // features
    const int64_t *query_row, *candidate_row; // [queries], [candidates] their rows
    const int64_t *first;                     // [queries + 1] into answers
    const int64_t *answer;                    // candidates that are right, ascending per query
};

struct scratch {                // of one thread
    th_real *query, *candidate; // [SIDE, d]
    th_real *tile;              // [SIDE, SIDE]
};

static void pack_row(const th_real *rows, int64_t row, int64_t d, th_real *to)
{
    memcpy(to, rows + row * d, (size_t)d * sizeof *to);
}

static void pack_rows(const th_real *rows, const int64_t *index, int64_t count, int64_t d,
                      th_real *to)
{
    for (int64_t i = 0; i < count; i++)
        pack_row(rows, index[i], d, to + i * d);
    memset(to + count * d, 0, (size_t)((SIDE - count) * d) * sizeof *to);
}

static void form_tile(const struct scratch *scratch, int64_t d)
{
    th_gemm(TH_AS_IS, TH_TRANSPOSED, SIDE, SIDE, d, scratch->query, d, scratch->candidate, d, 0,
            scratch->tile, SIDE);
}

// best[i] = similarity of a query's best answer. Answer number n of all queries at a time: they
// stand on the diagonal of a tile like any other, so that they have a candidate's bits.
static void best_answers(const struct direction *to, int64_t from, int64_t count,
                         const struct scratch *scratch, th_real *best)
{
    bool more = true;

    for (int64_t n = 0; more; n++) {
        more = false;
        for (int64_t i = 0; i < count; i++) {
            int64_t at = to->first[from + i] + n, end = to->first[from + i + 1];
            more = more || at + 1 < end;
            if (at < end)
                pack_row(to->candidate, to->candidate_row[to->answer[at]], to->d,
                         scratch->candidate + i * to->d);
        }
        form_tile(scratch, to->d);
        for (int64_t i = 0; i < count; i++) {
            th_real found = scratch->tile[i * SIDE + i];
            if (n == 0 || (to->first[from + i] + n < to->first[from + i + 1] && found > best[i]))
                best[i] = found;
        }
    }
}

TH_CLONES
static void count_row(const th_real *row, int64_t count, th_real best, int64_t *below,
                      int64_t *equal)
{
    int less = 0, same = 0;

#pragma omp simd reduction(+ : less, same)
    for (int64_t j = 0; j < count; j++) {
        less += row[j] < best;
        same += row[j] == best;
    }
    *below += less;
    *equal += same;
}

// rank[i] of up to SIDE queries. A NaN is neither below nor equal: it counts against.
static void rank_block(const struct direction *to, int64_t from, int64_t count,
                       const struct scratch *scratch, int64_t *rank)
{
    th_real best[SIDE];
    int64_t below[SIDE] = { 0 }, equal[SIDE] = { 0 }, next[SIDE];

    pack_rows(to->query, to->query_row + from, count, to->d, scratch->query);
    best_answers(to, from, count, scratch, best);
    memcpy(next, to->first + from, (size_t)count * sizeof *next);
    for (int64_t first = 0; first < to->candidates; first += SIDE) {
        int64_t end = first + SIDE < to->candidates ? first + SIDE : to->candidates;
        pack_rows(to->candidate, to->candidate_row + first, end - first, to->d, scratch->candidate);
        form_tile(scratch, to->d);
        for (int64_t i = 0; i < count; i++) {
            const th_real *row = scratch->tile + i * SIDE;
            count_row(row, end - first, best[i], &below[i], &equal[i]);
            for (; next[i] < to->first[from + i + 1] && to->answer[next[i]] < end; next[i]++) {
                th_real own = row[to->answer[next[i]] - first]; // answers do not count
                below[i] -= own < best[i];
                equal[i] -= own == best[i];
            }
        }
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t others = to->candidates - (to->first[from + i + 1] - to->first[from + i]);
        rank[i] = 1 + others - below[i] - equal[i] + (equal[i] + 1) / 2;
    }
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void summarise(int64_t *rank, int64_t count, double recall[3], double *median)
{
    static const int64_t depth[] = { 1, 5, 10 };

    memset(recall, 0, 3 * sizeof *recall);
    *median = 0;
    if (count == 0)
        return;
    for (int k = 0; k < 3; k++) {
        int64_t right = 0;
        for (int64_t i = 0; i < count; i++)
            right += rank[i] <= depth[k];
        recall[k] = (double)right / (double)count;
    }
    qsort(rank, (size_t)count, sizeof *rank, ascending);
    int64_t lower = (count - 1) / 2, upper = count / 2;
    *median = 0.5 * ((double)rank[lower] + (double)rank[upper]);
}

// This rank's blocks of queries, each of them on one thread.
static void rank_queries(const th_world *world, const struct direction *to, th_real *memory,
                         int64_t *rank)
{
    int64_t blocks = (to->queries + SIDE - 1) / SIDE;
    int64_t end = th_slice_first(blocks, world->size, world->rank + 1);

#pragma omp parallel for schedule(dynamic)
    for (int64_t block = th_slice_first(blocks, world->size, world->rank); block < end; block++) {
        th_real       *mine = memory + (2 * to->d + SIDE) * SIDE * omp_get_thread_num();
        struct scratch scratch = { mine, mine + SIDE * to->d, mine + 2 * SIDE * to->d };
        int64_t        from = block * SIDE;
        rank_block(to, from, to->queries - from < SIDE ? to->queries - from : SIDE, &scratch,
                   rank + from);
    }
}

static th_code retrieve(th_world *world, const struct direction *to, double recall[3],
                        double *median, th_err *err)
{
    th_code    rc = TH_OK;
    int64_t    blocks = (to->queries + SIDE - 1) / SIDE;
    size_t     numbers = (size_t)((2 * to->d + SIDE) * SIDE) * (size_t)omp_get_max_threads();
    void      *memory = NULL, *rank = NULL;
    th_gather *gather = NULL;

    rc = th_alloc(numbers, sizeof(th_real), "similarities", &memory, err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)(blocks * SIDE), sizeof(int64_t), "ranks of the queries", &rank, err);
    TH_TRY(th_agree(world, rc, err));
    rank_queries(world, to, memory, rank);
    TH_TRY(th_gather_start(
        world, (int64_t *)rank + th_slice_first(blocks, world->size, world->rank) * SIDE, blocks,
        (size_t)SIDE * sizeof(int64_t), rank, &gather, err));
    TH_TRY(th_gather_finish(gather, err));
    summarise(rank, to->queries, recall, median);
out:
    free(memory);
    free(rank);
    return rc;
}

// Row numbers of both ways, in one piece of memory.
struct index {
    int64_t *asked;  // [captions] captions that take part
    int64_t *image;  // [images] 0, 1, 2, ...
    int64_t *own;    // [captions] image of each caption that takes part
    int64_t *one;    // [captions + 1] 0, 1, 2, ...: a caption has one answer
    int64_t *asking; // [images] images that have a caption of their own
    int64_t *first;  // [images + 1] per image that asks, into answer
    int64_t *answer; // [captions] places in asked, grouped by image
    int64_t *place;  // [images] while grouping
    int64_t  captions, images;
};

static th_code index_open(const th_retrieval_input *in, void **memory, struct index *out,
                          th_err *err)
{
    th_code  rc = TH_OK;
    int64_t  n = in->captions, m = in->images;
    int64_t *at = NULL;

    TH_TRY(th_alloc((size_t)(4 * n + 4 * m + 2), sizeof *at, "an index of captions", memory, err));
    at = *memory;
    *out = (struct index){ .asked = at,
                           .own = at + n,
                           .answer = at + 2 * n,
                           .one = at + 3 * n,
                           .image = at + 4 * n + 1,
                           .asking = at + 4 * n + 1 + m,
                           .place = at + 4 * n + 1 + 2 * m,
                           .first = at + 4 * n + 1 + 3 * m };
out:
    return rc;
}

static void index_fill(const th_retrieval_input *in, struct index *out)
{
    for (int64_t i = 0; i < in->captions; i++) {
        if (in->asks && !in->asks[i])
            continue;
        assert(in->image_of[i] >= 0 && in->image_of[i] < in->images);
        out->asked[out->captions] = i;
        out->own[out->captions] = in->image_of[i];
        out->place[in->image_of[i]]++;
        out->captions++;
        out->one[out->captions] = out->captions;
    }
    int64_t total = 0;
    for (int64_t i = 0; i < in->images; i++) {
        int64_t count = out->place[i];
        out->image[i] = i;
        out->place[i] = total;
        total += count;
        if (count == 0)
            continue;
        out->asking[out->images++] = i;
        out->first[out->images] = total;
    }
    for (int64_t i = 0; i < out->captions; i++)
        out->answer[out->place[out->own[i]]++] = i;
}

th_code th_retrieve(th_world *world, const th_retrieval_input *in, th_retrieval *out, th_err *err)
{
    th_code      rc = TH_OK;
    void        *memory = NULL;
    struct index index = { 0 };
    th_retrieval result = { 0 };

    TH_TRY(th_agree(world, index_open(in, &memory, &index, err), err));
    index_fill(in, &index);
    struct direction to_image = { .queries = index.captions,
                                  .candidates = in->images,
                                  .d = in->d,
                                  .query = in->text,
                                  .candidate = in->image,
                                  .query_row = index.asked,
                                  .candidate_row = index.image,
                                  .first = index.one,
                                  .answer = index.own };
    struct direction to_text = { .queries = index.images,
                                 .candidates = index.captions,
                                 .d = in->d,
                                 .query = in->image,
                                 .candidate = in->text,
                                 .query_row = index.asking,
                                 .candidate_row = index.asked,
                                 .first = index.first,
                                 .answer = index.answer };
    TH_TRY(retrieve(world, &to_image, result.text_to_image, &result.text_to_image_median, err));
    TH_TRY(retrieve(world, &to_text, result.image_to_text, &result.image_to_text_median, err));
    result.text_queries = to_image.queries;
    result.image_queries = to_text.queries;
    *out = result;
out:
    free(memory);
    return rc;
}
