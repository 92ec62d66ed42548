/* base/memory.h - checked allocation and arenas.
 *
 * An arena reserves address space once (mmap, not yet backed by memory) and hands out 64-byte
 * aligned pieces in order; all are given back together. The pages are zero when first touched.
 * One thread at a time: an arena hands out memory without a lock. */
#ifndef TH_BASE_MEMORY_H
#define TH_BASE_MEMORY_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* *out = a zeroed array of count elements, on a 64-byte boundary; give back with free().
 * Errors: TH_EIO when count * size overflows, is over 1 TiB, or memory is out; `what` names `use`.
 * count = 0 gives a valid pointer. */
TH_MUST_CHECK th_code th_alloc(size_t count, size_t size, const char *use, void **out, th_err *err);

typedef struct {
    unsigned char *base;
    size_t         reserved_bytes; // address space
    size_t         used_bytes;     // handed out
    size_t         peak_bytes;     // most ever handed out
} th_arena;

/* Reserves address space; nothing is backed by memory yet. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_arena_open(th_arena *arena, size_t reserve_bytes, th_err *err);
/* Accepts NULL and a zeroed arena. */
void th_arena_close(th_arena *arena);

/* count elements of size bytes, 64-byte aligned. NULL when the reservation does not hold them: plan
 * the size beforehand, or check. The bytes are zero only where the arena was never used before. */
void *th_arena_take(th_arena *arena, size_t count, size_t size);

/* Goes back to an earlier used_bytes: what was taken since is free again, its pages stay. */
void th_arena_rewind(th_arena *arena, size_t used_bytes);

/* Gives the pages from used_bytes on back to the system (RSS falls); they are zero when next used.
 */
void th_arena_trim(th_arena *arena);

/* A copy of the text in the arena, or NULL when full. */
char *th_arena_text(th_arena *arena, const char *text);

#endif
