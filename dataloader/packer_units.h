/* dataloader/packer_units.h - how a source is cut into units of work, and reading one of them.
 *
 * Unit u of n is the samples th_slice_first(samples, n, u) and on, whoever packs it. It becomes one
 * shard of each part, and is what a killed packer keeps or loses. So the files of a pack follow
 * from its source and options, and from neither threads, ranks nor kills. */
#ifndef TH_DATALOADER_PACKER_UNITS_H
#define TH_DATALOADER_PACKER_UNITS_H

#include "dataloader/packer_survey.h"
#include <stdbool.h>

/* As many as options->shards asks for; else such that a shard has about 1 GiB. None without a
 * sample, 0 for a source that has none. */
int th_unit_count(const th_survey *survey, const th_pack_options *options);

typedef struct {
    th_source       *source;      // borrowed, fresh, no one else reads it
    const th_survey *survey;      // borrowed
    int64_t          piece, item; // the next sample is that one of that piece
    int64_t          last_piece;  // where the unit ends: behind so many items of that piece,
    int64_t          last_items;  // or where the piece does
    bool             entered;
} th_unit_reader;

/* Goes to the first sample of unit u of n. Units are read in ascending order, not all of them.
 * Errors: TH_EIO. */
TH_MUST_CHECK th_code th_unit_enter(th_unit_reader *reader, int unit, int units, th_err *err);

/* The next sample of the unit; *out_more is false behind the last. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_unit_next(th_unit_reader *reader, th_item *out, bool *out_more,
                                   th_err *err);

#endif
