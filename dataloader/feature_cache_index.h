/* dataloader/feature_cache_index.h - where the rows of a feature cache are: from a 64-bit hash to
 * (segment, row).
 *
 * Open addressing with linear probing, 16 bytes a place, at most 2/3 full. A hash may have several
 * places: the same row in two segments, of which one may turn out damaged. Two keys with one hash
 * would share them too; whoever reads a row checks its key. No lock: the caller's. */
#ifndef TH_DATALOADER_FEATURE_CACHE_INDEX_H
#define TH_DATALOADER_FEATURE_CACHE_INDEX_H

#include "base/error.h"
#include <stdint.h>

#define TH_PLACE_EMPTY    UINT32_MAX       // as a segment: no place was ever here
#define TH_PLACE_ERASED   (UINT32_MAX - 1) // there was one: probing goes on past it
#define TH_PLACE_SEGMENTS (UINT32_MAX - 9) // segments are below this

typedef struct {
    uint64_t hash;
    uint32_t segment, row;
} th_feature_place;

typedef struct {
    th_feature_place *places;
    uint64_t          capacity; // 0 or a power of 2
    uint64_t          used;     // places that are not empty
    uint64_t          live;     // and not erased
} th_feature_index;

/* Makes sure that `more` additions fit. Places move. Errors: TH_EIO when memory is out. */
TH_MUST_CHECK th_code th_feature_index_reserve(th_feature_index *index, uint64_t more, th_err *err);

/* Adds a place, for which there must be room. */
void th_feature_index_add(th_feature_index *index, uint64_t hash, uint32_t segment, uint32_t row);

/* The first place of that hash, or the next one after `after`; NULL when there is none. */
th_feature_place *th_feature_index_find(const th_feature_index *index, uint64_t hash,
                                        const th_feature_place *after);

void th_feature_index_erase(th_feature_index *index, th_feature_place *place);

/* Frees the memory; the index is empty. */
void th_feature_index_done(th_feature_index *index);

#endif
