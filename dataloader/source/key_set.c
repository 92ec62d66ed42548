#include "dataloader/source/key_set.h"

#include "base/hash.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

// The slot that holds the hash, or the free one where it belongs.
static size_t slot_of(const uint64_t *slots, size_t room, uint64_t hash)
{
    size_t at = (size_t)hash & (room - 1);

    while (slots[at] != 0 && slots[at] != hash)
        at = (at + 1) & (room - 1);
    return at;
}

static th_code grow(th_key_set *set, th_err *err)
{
    th_code rc = TH_OK;
    size_t  room = set->room ? set->room * 2 : 1024;
    void   *memory;

    TH_TRY(th_alloc(room, sizeof *set->slots, "the keys of a tar", &memory, err));
    uint64_t *slots = memory;
    for (size_t i = 0; i < set->room; i++)
        if (set->slots[i] != 0)
            slots[slot_of(slots, room, set->slots[i])] = set->slots[i];
    free(set->slots);
    set->slots = slots;
    set->room = room;
out:
    return rc;
}

th_code th_key_set_add(th_key_set *set, const char *key, bool *out_new, th_err *err)
{
    th_code  rc = TH_OK;
    uint64_t hash = th_hash(key, strlen(key));

    if (hash == 0)
        hash = 1;
    if (set->count * 2 >= set->room)
        TH_TRY(grow(set, err));
    size_t at = slot_of(set->slots, set->room, hash);
    *out_new = set->slots[at] == 0;
    set->count += *out_new;
    set->slots[at] = hash;
out:
    return rc;
}

void th_key_set_clear(th_key_set *set)
{
    free(set->slots);
    *set = (th_key_set){ 0 };
}
