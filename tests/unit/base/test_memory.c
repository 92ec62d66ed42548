#include "base/memory.h"
#include "tests/test.h"

#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void allocation_is_zero_and_aligned(void **state)
{
    th_err err = { 0 };

    (void)state;
    for (size_t count = 0; count < 4000; count += 70) {
        unsigned char *bytes = NULL;
        th_assert_ok(th_alloc(count, 3, "a test", (void **)&bytes, &err), &err);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 64, 0);
        for (size_t i = 0; i < 3 * count; i++)
            assert_int_equal(bytes[i], 0);
        memset(bytes, 0xff, 3 * count); // dirties what the next round is given
        free(bytes);
    }
}

static void allocation_refuses_what_overflows(void **state)
{
    void  *memory = NULL;
    th_err err = { 0 };

    (void)state;
    th_assert_error(th_alloc(SIZE_MAX / 2, 3, "the tokens", &memory, &err), TH_EIO, &err,
                    "the tokens");
    th_assert_error(th_alloc(SIZE_MAX, 1, "the tokens", &memory, &err), TH_EIO, &err, "1 TiB");
    th_assert_error(th_alloc(((size_t)1 << 40) + 1, 1, "the tokens", &memory, &err), TH_EIO, &err,
                    "over 1 TiB");
    assert_null(memory);
}

static void arena_hands_out_aligned_pieces(void **state)
{
    th_arena arena;
    th_err   err = { 0 };

    (void)state;
    th_assert_ok(th_arena_open(&arena, MIB, &err), &err);
    unsigned char *end = arena.base;
    for (size_t size = 0; size < 300; size += 13) {
        unsigned char *piece = th_arena_take(&arena, size, 1);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 64, 0);
        assert_true(piece >= end && piece < end + 64);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xff, size);
        end = piece + size;
    }
    assert_int_equal(arena.used_bytes, end - arena.base);
    assert_string_equal(th_arena_text(&arena, "caption"), "caption");
    th_arena_close(&arena);
    assert_null(arena.base);
    th_arena_close(&arena);
    th_arena_close(NULL);
}

static void arena_ends_with_null(void **state)
{
    th_arena arena, none = { 0 };
    th_err   err = { 0 };

    (void)state;
    th_assert_ok(th_arena_open(&arena, 8192, &err), &err);
    assert_null(th_arena_take(&arena, 8193, 1));
    assert_null(th_arena_take(&arena, SIZE_MAX / 4, 8)); // times 8 wraps round
    assert_int_equal(arena.used_bytes, 0);
    assert_non_null(th_arena_take(&arena, 8192 - 5, 1));
    assert_null(th_arena_take(&arena, SIZE_MAX, 1)); // plus the place wraps round
    assert_null(th_arena_take(&arena, 1, 1));        // five bytes are left, but none is aligned
    assert_null(th_arena_text(&arena, "full"));
    assert_null(th_arena_take(&none, 1, 1));
    assert_int_equal(arena.used_bytes, 8192 - 5);
    th_arena_close(&arena);
    th_assert_error(th_arena_open(&arena, SIZE_MAX, &err), TH_EIO, &err, "cannot reserve");
    th_assert_error(th_arena_open(&arena, SIZE_MAX / 2, &err), TH_EIO, &err, "could not reserve");
}

static void arena_rewinds(void **state)
{
    th_arena arena;
    th_err   err = { 0 };

    (void)state;
    th_assert_ok(th_arena_open(&arena, MIB, &err), &err);
    assert_non_null(th_arena_take(&arena, 100, 1));
    size_t mark = arena.used_bytes;
    void  *first = th_arena_take(&arena, 1000, 1);
    th_arena_rewind(&arena, mark);
    assert_ptr_equal(th_arena_take(&arena, 10, 1), first);
    assert_int_equal(arena.peak_bytes, 128 + 1000);
    th_arena_rewind(&arena, MIB); // forward is no rewind
    assert_int_equal(arena.used_bytes, 128 + 10);
    th_arena_close(&arena);
}

static size_t resident_pages(const th_arena *arena)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = arena->reserved_bytes / page, sum = 0;
    unsigned char *here = malloc(pages);

    assert_non_null(here);
    assert_int_equal(mincore(arena->base, arena->reserved_bytes, here), 0);
    for (size_t i = 0; i < pages; i++)
        sum += here[i] & 1;
    free(here);
    return sum;
}

static void arena_trim_gives_pages_back(void **state)
{
    th_arena arena;
    th_err   err = { 0 };

    (void)state;
    th_assert_ok(th_arena_open(&arena, 16 * MIB, &err), &err);
    assert_int_equal(resident_pages(&arena), 0);
    unsigned char *kept = th_arena_take(&arena, 1000, 1);
    memset(kept, 0xff, 1000);
    size_t         mark = arena.used_bytes;
    unsigned char *bytes = th_arena_take(&arena, 8 * MIB, 1);
    memset(bytes, 0xff, 8 * MIB);
    assert_true(resident_pages(&arena) >= 8 * MIB / (size_t)sysconf(_SC_PAGESIZE));

    th_arena_rewind(&arena, mark);
    th_arena_trim(&arena);
    assert_true(resident_pages(&arena) <= 1);
    bytes = th_arena_take(&arena, 8 * MIB, 1);
    for (size_t i = 0; i < 8 * MIB; i++) // from the rest of the first page on
        if (bytes[i] != 0)
            fail_msg("byte %zu is not zero", i);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(kept[i], 0xff);
    th_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocation_is_zero_and_aligned),
        cmocka_unit_test(allocation_refuses_what_overflows),
        cmocka_unit_test(arena_hands_out_aligned_pieces),
        cmocka_unit_test(arena_ends_with_null),
        cmocka_unit_test(arena_rewinds),
        cmocka_unit_test(arena_trim_gives_pages_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
