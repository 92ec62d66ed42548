/* trainer/loss/retrieval.h - recall at k, both ways, over features spread on the ranks.
 *
 * Text to image: each caption ranks all images; it is right at k when its own image is among the
 * first k. Image to text: each image ranks all captions; it is right at k when any caption of its
 * own is among the first k. Equal similarities count half of their number against the right one,
 * rounded up, so a collapsed model scores chance and not 100 %. Tiled: no images x captions matrix.
 */
#ifndef TH_TRAINER_LOSS_RETRIEVAL_H
#define TH_TRAINER_LOSS_RETRIEVAL_H

#include "base/memory.h"
#include "comm/world.h"
#include "trainer/nn/real.h"

typedef struct {
    int64_t        images, captions, d;
    const th_real *image;    // [images, d] unit rows, all of them on every rank
    const th_real *text;     // [captions, d] likewise
    const int64_t *image_of; // [captions] which image a caption belongs to
    const uint8_t *asks;     // [captions] or NULL: 0 keeps a caption out of the queries and answers
} th_retrieval_input;

typedef struct {
    int64_t text_queries, image_queries;        // images without a caption of their own do not ask
    double  text_to_image[3], image_to_text[3]; // recall at 1, 5, 10, in [0, 1]
    double  text_to_image_median, image_to_text_median; // median rank, 1 is best
} th_retrieval;

/* Ranks share the queries out (th_slice_first) and add up. Errors: TH_EIO, TH_EPEER.
 * Calls: Collective; one thread, which opens OpenMP regions. */
TH_MUST_CHECK th_code th_retrieve(th_world *world, const th_retrieval_input *in, th_retrieval *out,
                                  th_err *err);

/* The k best images for one text feature, best first: out_index[k], out_similarity[k]. Local. */
TH_MUST_CHECK th_code th_retrieve_best(const th_real *query, const th_real *image, int64_t images,
                                       int64_t d, int k, int64_t *out_index,
                                       th_real *out_similarity, th_err *err);

#endif
