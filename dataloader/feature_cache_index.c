#include "dataloader/feature_cache_index.h"

#include "base/memory.h"

#include <stdlib.h>

#define CAPACITY_LEAST 1024

static void add(th_feature_place *places, uint64_t capacity, th_feature_place place)
{
    uint64_t at = place.hash & (capacity - 1);

    while (places[at].segment != TH_PLACE_EMPTY)
        at = (at + 1) & (capacity - 1);
    places[at] = place;
}

th_code th_feature_index_reserve(th_feature_index *index, uint64_t more, th_err *err)
{
    th_code           rc = TH_OK;
    th_feature_place *places = NULL;
    uint64_t          capacity = index->capacity ? index->capacity : CAPACITY_LEAST;

    // The limits of th_alloc end this long before any of it overflows.
    if (index->capacity && index->used + more <= index->capacity / 3 * 2)
        goto out;
    while (index->live + more > capacity / 3 * 2)
        capacity *= 2;
    TH_TRY(
        th_alloc(capacity, sizeof *places, "the index of a feature cache", (void **)&places, err));
    for (uint64_t i = 0; i < capacity; i++)
        places[i].segment = TH_PLACE_EMPTY;
    for (uint64_t i = 0; i < index->capacity; i++)
        if (index->places[i].segment < TH_PLACE_ERASED)
            add(places, capacity, index->places[i]);
    free(index->places);
    index->places = places;
    index->capacity = capacity;
    index->used = index->live;
out:
    return rc;
}

void th_feature_index_add(th_feature_index *index, uint64_t hash, uint32_t segment, uint32_t row)
{
    add(index->places, index->capacity, (th_feature_place){ hash, segment, row });
    index->used++;
    index->live++;
}

th_feature_place *th_feature_index_find(const th_feature_index *index, uint64_t hash,
                                        const th_feature_place *after)
{
    if (index->capacity == 0)
        return NULL;
    uint64_t mask = index->capacity - 1;
    uint64_t at = after ? (uint64_t)(after - index->places) + 1 : hash;
    for (at &= mask; index->places[at].segment != TH_PLACE_EMPTY; at = (at + 1) & mask)
        if (index->places[at].hash == hash && index->places[at].segment != TH_PLACE_ERASED)
            return &index->places[at];
    return NULL;
}

void th_feature_index_erase(th_feature_index *index, th_feature_place *place)
{
    place->segment = TH_PLACE_ERASED;
    index->live--;
}

void th_feature_index_done(th_feature_index *index)
{
    free(index->places);
    *index = (th_feature_index){ 0 };
}
