/* dataloader/tokenizer/grow.h - arrays that grow as they are filled, and memory to work in. */
#ifndef TH_DATALOADER_TOKENIZER_GROW_H
#define TH_DATALOADER_TOKENIZER_GROW_H

#include <stddef.h>
#include <stdlib.h>

/* The array with room for at least `need` elements of `size` bytes, *room set to what it holds now:
 * half as much again, so that filling it costs linear time. NULL when memory is out or the bytes
 * overflow; then the array stands as it was. */
static inline void *th_grow(void *array, size_t *room, size_t need, size_t size)
{
    size_t wanted = need + need / 2 + 16;
    void  *grown;

    if (array && need <= *room)
        return array;
    grown = reallocarray(array, wanted, size);
    if (grown)
        *room = wanted;
    return grown;
}

/* Memory that one thread works in; starts zeroed, grows, and is given back with free(memory). */
typedef struct {
    void  *memory;
    size_t bytes;
} th_scratch;

/* At least this many bytes, what was in it is lost; NULL when memory is out. */
static inline void *th_scratch_take(th_scratch *scratch, size_t bytes)
{
    if (bytes > scratch->bytes || !scratch->memory) {
        size_t room = bytes + bytes / 2 + 64;

        free(scratch->memory);
        scratch->memory = malloc(room);
        scratch->bytes = scratch->memory ? room : 0;
    }
    return scratch->memory;
}

#endif
