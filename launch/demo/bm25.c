#include "launch/demo/bm25.h"

#include "base/hash.h"
#include "dataloader/tokenizer/clean.h"
#include "dataloader/tokenizer/grow.h"
#include "dataloader/tokenizer/unicode.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHORTEST 2
#define LONGEST  4
#define K        1.2
#define B        0.75

static const char fix_memory[] = "free some memory";

static th_code add_gram(th_bm25 *index, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void   *grown =
        th_grow(index->query, &index->query_room, index->query_count + 1, sizeof *index->query);

    TH_CHECK(grown, TH_EIO, fix_memory, "no memory for the letters of a text");
    index->query = grown;
    index->query[index->query_count++] = th_hash(text, size);
out:
    return rc;
}

// The grams of a cleaned text that has a space at both ends: from each character on, the runs of 2,
// 3 and 4 that do not reach over a space inside.
static th_code cut(th_bm25 *index, const char *text, size_t size, th_err *err)
{
    th_code              rc = TH_OK;
    const unsigned char *end = (const unsigned char *)text + size;

    index->query_count = 0;
    for (const unsigned char *at = (const unsigned char *)text, *next = at; at < end; at = next) {
        const unsigned char *behind = at;

        for (int n = 1; n <= LONGEST && behind < end; n++) {
            uint32_t code = th_utf8_next(&behind, end);

            if (n == 1)
                next = behind;
            if (n >= SHORTEST)
                TH_TRY(add_gram(index, (const char *)at, (size_t)(behind - at), err));
            if (n > 1 && code == ' ')
                break;
        }
    }
out:
    return rc;
}

// Sets index->query to the grams of a text as it was written.
static th_code read_text(th_bm25 *index, const char *text, size_t size, th_err *err)
{
    th_code          rc = TH_OK;
    const th_cleaner cleaner = { .kind = TH_CLEANUP_OPEN_CLIP };
    th_clean_room    room = { 0 };
    size_t           clean_size;
    const char      *clean = th_text_clean(&cleaner, text, size, &room, &clean_size);
    char            *between = clean ? malloc(clean_size + 2) : NULL; // two spaces

    TH_CHECK(between, TH_EIO, fix_memory, "no memory for a text of %zu bytes", size);
    memcpy(between + 1, clean, clean_size);
    between[0] = between[clean_size + 1] = ' ';
    TH_TRY(cut(index, between, clean_size + 2, err));
out:
    free(between);
    th_clean_room_done(&room);
    return rc;
}

th_code th_bm25_add(th_bm25 *index, _Bool new_document, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;
    void   *grown;

    if (new_document) {
        grown = th_grow(index->length, &index->length_room, index->documents + 1,
                        sizeof *index->length);
        TH_CHECK(grown, TH_EIO, fix_memory, "no memory for %zu documents", index->documents);
        index->length = grown;
        index->length[index->documents++] = 0;
    }
    TH_TRY(read_text(index, text, size, err));
    grown = th_grow(index->grams, &index->room, index->count + index->query_count + 1,
                    sizeof *index->grams);
    TH_CHECK(grown, TH_EIO, fix_memory, "no memory for %zu letters", index->count);
    index->grams = grown;
    for (size_t i = 0; i < index->query_count; i++)
        index->grams[index->count++] =
            (struct th_gram){ index->query[i], (uint32_t)index->documents - 1, 1 };
    index->length[index->documents - 1] += (double)index->query_count;
out:
    return rc;
}

static int by_gram(const void *a, const void *b)
{
    const struct th_gram *x = a, *y = b;

    if (x->gram != y->gram)
        return x->gram < y->gram ? -1 : 1;
    return (x->document > y->document) - (x->document < y->document);
}

void th_bm25_finish(th_bm25 *index)
{
    size_t kept = 0;
    double total = 0;

    if (index->count > 0)
        qsort(index->grams, index->count, sizeof *index->grams, by_gram);
    for (size_t i = 0; i < index->count; i++) {
        if (kept > 0 && by_gram(&index->grams[kept - 1], &index->grams[i]) == 0)
            index->grams[kept - 1].times++;
        else
            index->grams[kept++] = index->grams[i];
    }
    index->count = kept;
    for (size_t i = 0; i < index->documents; i++)
        total += index->length[i];
    index->mean_length = index->documents ? total / (double)index->documents : 0;
}

void th_bm25_close(th_bm25 *index)
{
    free(index->grams);
    free(index->length);
    free(index->query);
    *index = (th_bm25){ 0 };
}

// The first place of a gram, or of the next larger one.
static size_t first_of(const th_bm25 *index, uint64_t gram)
{
    size_t low = 0, high = index->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (index->grams[middle].gram < gram)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

th_code th_bm25_score(th_bm25 *index, const char *text, size_t size, double *scores, th_err *err)
{
    th_code rc = TH_OK;
    double  all = (double)index->documents;

    TH_TRY(read_text(index, text, size, err));
    memset(scores, 0, index->documents * sizeof *scores);
    for (size_t i = 0; i < index->query_count; i++) {
        size_t first = first_of(index, index->query[i]), end = first;
        double weight;

        while (end < index->count && index->grams[end].gram == index->query[i])
            end++;
        weight = log(1 + (all - (double)(end - first) + 0.5) / ((double)(end - first) + 0.5));
        for (; first < end; first++) {
            const struct th_gram *g = &index->grams[first];
            double f = g->times, longer = index->length[g->document] / index->mean_length;

            scores[g->document] += weight * f * (K + 1) / (f + K * (1 - B + B * longer));
        }
    }
out:
    return rc;
}
