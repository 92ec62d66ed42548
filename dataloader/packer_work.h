/* dataloader/packer_work.h - packs units: read, decode, resize, tokenize, write, over all threads.
 */
#ifndef TH_DATALOADER_PACKER_WORK_H
#define TH_DATALOADER_PACKER_WORK_H

#include "dataloader/packer_unit.h"
#include "dataloader/packer_units.h"

typedef struct { // all borrowed
    const th_pack_options *options;
    int                    threads;
    const th_new_folder   *folders; // [TH_PARTS]
    const th_survey       *survey;
    const th_tokenizer    *tokenizer; // NULL when no sample has captions
    int                    units;
    const char            *mine; // [units] 1: to be packed here
    /* Called a few times a second from the calling thread with what was counted so far, and the
     * samples that there are in all. False: stop, others have an error to report. */
    bool (*tick)(void *context, const th_tally *tally, int64_t samples);
    void *context;
} th_pack_work;

/* Packs the units in ascending order. When the tick asks for it, returns TH_OK early. Errors:
 * TH_EIO, those of the source. */
TH_MUST_CHECK th_code th_pack_work_do(const th_pack_work *work, th_err *err);

#endif
