/* launch/demo/bm25.h - documents ranked by the character n-grams they share with a query.
 *
 * Text is cleaned as for the tokenizer (dataloader/tokenizer/unicode.h); its words, each with a
 * space before and behind, are cut into every run of 2, 3 and 4 characters. With f the times a gram
 * stands in a document, n the documents that hold it, N all of them, and k = 1.2, b = 0.75:
 *
 *     score = sum over the query's grams of log(1 + (N - n + 0.5) / (n + 0.5))
 *                                         * f (k + 1) / (f + k (1 - b + b length / mean length))
 *
 * Robertson and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond". */
#ifndef TH_LAUNCH_DEMO_BM25_H
#define TH_LAUNCH_DEMO_BM25_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    struct th_gram {
        uint64_t gram; // a hash of its characters
        uint32_t document, times;
    } * grams; // [count], once finished by gram and document, without repetition
    size_t    count, room;
    double   *length; // [documents] grams in it
    size_t    documents, length_room;
    double    mean_length;
    uint64_t *query; // scratch: the grams of a text
    size_t    query_count, query_room;
} th_bm25; // starts zeroed; one thread at a time

/* Adds to the last document, or starts a new one first. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_bm25_add(th_bm25 *index, _Bool new_document, const char *text, size_t size,
                                  th_err *err);
void                  th_bm25_finish(th_bm25 *index); // after the last, before the first query
void                  th_bm25_close(th_bm25 *index);

/* scores[documents] of a query. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_bm25_score(th_bm25 *index, const char *text, size_t size, double *scores,
                                    th_err *err);

#endif
