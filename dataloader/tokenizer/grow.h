/* dataloader/tokenizer/grow.h - arrays that grow as they are filled. */
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

#endif
