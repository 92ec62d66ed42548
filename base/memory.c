#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT   ((size_t)64) // a cache line, and one AVX-512 register
#define LIMIT_BYTES ((size_t)1 << 40)

static const char fix_memory[] = "use more ranks or machines, or a smaller batch or memory_budget";

// Rounds up to a multiple of a power of two; false when that does not fit a size_t.
static _Bool round_up(size_t value, size_t unit, size_t *out)
{
    if (__builtin_add_overflow(value, unit - 1, out))
        return 0;
    *out &= ~(unit - 1);
    return 1;
}

th_code th_alloc(size_t count, size_t size, const char *use, void **out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  bytes;

    TH_CHECK(!__builtin_mul_overflow(count, size, &bytes) && bytes <= LIMIT_BYTES, TH_EIO,
             fix_memory, "cannot allocate %zu x %zu bytes for %s: over 1 TiB", count, size, use);
    if (bytes == 0)
        bytes = ALIGNMENT;
    bytes = (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    void *memory = aligned_alloc(ALIGNMENT, bytes);
    TH_CHECK(memory, TH_EIO, fix_memory, "could not allocate %zu bytes for %s: out of memory",
             bytes, use);
    memset(memory, 0, bytes);
    *out = memory;
out:
    return rc;
}

th_code th_arena_open(th_arena *arena, size_t reserve_bytes, th_err *err)
{
    th_code rc = TH_OK;
    size_t  bytes;

    TH_CHECK(round_up(reserve_bytes ? reserve_bytes : 1, (size_t)sysconf(_SC_PAGESIZE), &bytes),
             TH_EIO, fix_memory, "cannot reserve %zu bytes: more than an address holds",
             reserve_bytes);
    // NORESERVE: a plan's upper bound may exceed the machine as long as it is not touched.
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TH_CHECK(base != MAP_FAILED, TH_EIO, fix_memory, "could not reserve %zu bytes: %s", bytes,
             strerror(errno));
    *arena = (th_arena){ .base = base, .reserved_bytes = bytes };
out:
    return rc;
}

void th_arena_close(th_arena *arena)
{
    if (!arena)
        return;
    if (arena->base)
        (void)munmap(arena->base, arena->reserved_bytes); // fails only on a range that is not ours
    *arena = (th_arena){ 0 };
}

void *th_arena_take(th_arena *arena, size_t count, size_t size)
{
    size_t bytes, start, end;

    if (!arena->base || __builtin_mul_overflow(count, size, &bytes) ||
        !round_up(arena->used_bytes, ALIGNMENT, &start) ||
        __builtin_add_overflow(start, bytes, &end) || end > arena->reserved_bytes)
        return NULL;
    arena->used_bytes = end;
    if (arena->peak_bytes < end)
        arena->peak_bytes = end;
    return arena->base + start;
}

void th_arena_rewind(th_arena *arena, size_t used_bytes)
{
    if (used_bytes < arena->used_bytes)
        arena->used_bytes = used_bytes;
}

void th_arena_trim(th_arena *arena)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = arena->used_bytes;
    size_t whole = (used + page - 1) & ~(page - 1); // no overflow: the reservation is whole pages

    if (!arena->base || used >= arena->peak_bytes)
        return;
    // The rest of the page that is still in use cannot be given back, so it is cleared by hand. If
    // the system refuses to take the pages (they are locked), clearing keeps the promise of zeros.
    memset(arena->base + used, 0, whole - used);
    if (whole < arena->peak_bytes &&
        madvise(arena->base + whole, arena->reserved_bytes - whole, MADV_DONTNEED) != 0)
        memset(arena->base + whole, 0, arena->peak_bytes - whole);
}

char *th_arena_text(th_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char  *copy = th_arena_take(arena, size, 1);

    return copy ? memcpy(copy, text, size) : NULL;
}
