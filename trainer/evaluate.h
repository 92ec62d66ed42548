/* trainer/evaluate.h - features of a whole pack, and what a model makes of it. */
#ifndef TH_TRAINER_EVALUATE_H
#define TH_TRAINER_EVALUATE_H

#include "dataloader/loader.h"
#include "dataloader/source/picture_list.h"
#include "trainer/run.h"
#include "trainer/towers/tower.h"

/* Unit features of every picture and caption of a pack, on every rank. */
typedef struct {
    int64_t   images, captions, d;
    th_real  *image;    // [images, d]
    th_real  *text;     // [captions, d]
    int64_t  *image_of; // [captions]
    uint64_t *key;      // [captions] th_caption_key
} th_features;

void th_features_free(th_features *features); // accepts a zeroed one

/* Ranks share the records out and gather. `arena` holds the passes. damaged records are counted in
 * the log and replaced as in training. Errors: TH_EDATA, TH_EIO, TH_EPEER. Calls: Collective. */
TH_MUST_CHECK th_code th_embed_pack(th_world *world, const th_parameters *parameters, th_pack *pack,
                                    th_arena *arena, th_features *out, th_err *err);

/* Of its pictures only: no caption goes through the text tower, and out->captions is 0. */
TH_MUST_CHECK th_code th_embed_pack_pictures(th_world *world, const th_parameters *parameters,
                                             th_pack *pack, th_arena *arena, th_features *out,
                                             th_err *err);

/* Unit features [n, d] of pictures that are in no pack, on every rank: what a pack of
 * `how` (size, margin, filter, alpha, exif, mean and deviation are looked at) would give them. One
 * that cannot be read is named in the log of the rank that meets it, its row is of no use, and
 * good[i] is false. Ranks share the pictures out and gather. Errors: TH_EIO, TH_EUSAGE, TH_EPEER.
 * Calls: Collective. */
TH_MUST_CHECK th_code th_embed_pictures(th_world *world, const th_parameters *parameters,
                                        const th_picture_list *list, const th_pack_info *how,
                                        th_arena *arena, th_real *features, bool *good,
                                        th_err *err);

/* The same as th_embed_pack of the first `records` records, for a look at what the pack as a whole
 * would take. */
TH_MUST_CHECK th_code th_embed_records(th_world *world, const th_parameters *parameters,
                                       th_pack *pack, int64_t records, th_arena *arena,
                                       th_features *out, th_err *err);

/* Bytes of memory that embedding and evaluating a pack takes beside weights and `arena`, given back
 * at its end; *out_arena is the most of `arena` that its passes use, of a table in which nothing
 * trains. Local. */
size_t th_evaluate_bytes(const th_world *world, const th_parameters *parameters,
                         const th_pack_info *pack, size_t *out_arena);

/* Recall both ways, and the loss that the model is trained with (of the options, `batch` and
 * `mask_duplicates`) over consecutive batches of pictures with their first caption. Calls:
 * Collective. */
TH_MUST_CHECK th_code th_evaluate(th_world *world, const th_features *features,
                                  const th_parameters *parameters, const th_train_options *options,
                                  th_arena *arena, th_eval_report *out, th_err *err);

/* Unit features of n texts, [n, d]. Errors: TH_EIO, TH_EUSAGE (a text without a token). Local. */
TH_MUST_CHECK th_code th_embed_texts(const th_parameters *parameters, const th_tokenizer *tokenizer,
                                     const char *const *texts, int64_t n, th_arena *arena,
                                     th_real *features, th_err *err);

/* The same on every rank for any number of texts: ranks share them out, a few in one pass, and
 * gather. Errors: those above, TH_EPEER. Calls: Collective. */
TH_MUST_CHECK th_code th_embed_texts_shared(th_world *world, const th_parameters *parameters,
                                            const th_tokenizer *tokenizer, const char *const *texts,
                                            int64_t n, th_arena *arena, th_real *features,
                                            th_err *err);

#endif
