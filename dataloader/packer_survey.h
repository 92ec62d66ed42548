/* dataloader/packer_survey.h - the first look at a source: how many samples, and their captions.
 *
 * Every piece of the source is skimmed once, by whichever rank: pictures are not read. What comes
 * of it fixes the units (packer_units.h), trains the tokenizer, and tells whether a source is the
 * one that a pack was begun with. */
#ifndef TH_DATALOADER_PACKER_SURVEY_H
#define TH_DATALOADER_PACKER_SURVEY_H

#include "dataloader/packer.h"

typedef struct { // of one piece
    int64_t  samples;
    int64_t  captioned, in_val; // samples with good captions; of those in the validation part
    uint64_t hash;              // of all keys, captions, and sizes of pictures as far as known
} th_survey_piece;

typedef struct {
    int64_t  pieces;
    int64_t *first;             // [pieces + 1] the first sample of each, and the number of all
    int64_t  captioned, in_val; // as of a piece
    uint64_t hash;              // of the pieces' hashes
} th_survey;

static inline int64_t th_survey_samples(const th_survey *survey)
{
    return survey->first[survey->pieces];
}

/* Skims the pieces first, first + stride, ... of a fresh source, and sets those of `out`, which has
 * room for all. With out_tokenizer one is trained on their captions of the train part, among them
 * those of pictures that nobody has looked at yet; it stays NULL when no sample has captions.
 * `tick` is called now and then. Errors: TH_EDATA, TH_EIO, and those of th_tokenizer_train. */
TH_MUST_CHECK th_code th_survey_take(th_source *source, const th_pack_options *options,
                                     int64_t first, int64_t                              stride,
                                     void (*tick)(void *context, int64_t samples), void *context,
                                     th_survey_piece *out, th_tokenizer **out_tokenizer,
                                     th_err *err);

/* All pieces together. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_survey_sum(const th_survey_piece *pieces, int64_t count, th_survey *out,
                                    th_err *err);
void                  th_survey_close(th_survey *survey); // accepts a zeroed one

/* The cleanup that options ask for, or the default. */
th_cleanup th_pack_cleanup(const th_pack_options *options);

#endif
