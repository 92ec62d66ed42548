/* dataloader/packer_tally.h - what is counted of samples: of a unit, then of a whole pack.
 *
 * Sums of sums: a tally of units that different processes packed is that of one process. */
#ifndef TH_DATALOADER_PACKER_TALLY_H
#define TH_DATALOADER_PACKER_TALLY_H

#include "dataloader/packer_sample.h"
#include <jansson.h>

#define TH_TALLY_SIDES 10241 // short sides of pictures: 0 .. the root of TH_IMAGE_PIXELS

typedef struct {
    int64_t        read, refused, enlarged;
    int64_t        packed[TH_PARTS], captions[TH_PARTS];
    int64_t        sides[TH_TALLY_SIDES];         // pictures by short side, as decoded
    int64_t        lengths[TH_RECORD_TOKENS + 1]; // captions by tokens
    th_pack_reason reasons[TH_PACK_REASONS];      // in the order in which they came first
    int            reason_count;
} th_tally;

/* A sample packed to pictures of that side; a refused one, by the kind of its reason: what stands
 * before the colon. */
void th_tally_add(th_tally *tally, th_part part, const th_made_sample *sample, int64_t side);
void th_tally_refuse(th_tally *tally, const char *reason);
void th_tally_merge(th_tally *tally, const th_tally *more);

/* As JSON, NULL when memory is out; and back, false when it is not what th_tally_print makes. */
json_t *th_tally_print(const th_tally *tally);
bool    th_tally_parse(const json_t *from, th_tally *out);

/* The parts of a report that are counted here. `context`: tokens of a caption that a model sees,
 * start and end among them. */
void th_tally_report(const th_tally *tally, int64_t context, th_pack_report *out);

#endif
