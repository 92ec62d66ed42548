// Cutting tensors into chunks, and the checksum behind each chunk.
#include "checkpoint/chunks.h"
#include "checkpoint/fletcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The definition, word by word; ones' complement writes a sum that is not zero as 1 .. 65535.
static uint32_t slow_fletcher32(const unsigned char *bytes, size_t size)
{
    uint32_t first = 0, second = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        first += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
        first = (first & 0xffff) + (first >> 16);
        second += first;
        second = (second & 0xffff) + (second >> 16);
    }
    return second << 16 | first;
}

static void checksum_equals_its_definition(void **state)
{
    static uint16_t words[40000];
    unsigned char  *bytes = (unsigned char *)words;
    uint64_t        random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof words; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(random >> 56);
    }
    for (size_t size = 0; size < 400; size += 2)
        assert_int_equal(th_fletcher32(words, size), slow_fletcher32(bytes, size));
    for (size_t size = 400; size <= sizeof words; size += 1234)
        assert_int_equal(th_fletcher32(words, size), slow_fletcher32(bytes, size));
    // The largest sums, and those that are a multiple of 65535 without being zero.
    memset(words, 0xff, sizeof words);
    for (size_t size = 0; size <= sizeof words; size += 1234)
        assert_int_equal(th_fletcher32(words, size), slow_fletcher32(bytes, size));
    memset(words, 0, sizeof words);
    assert_int_equal(th_fletcher32(words, sizeof words), 0);
}

// Chunks in order must be the tensor in order, without a gap, and their places must be those that
// row-major order gives to the first element.
static void check_cover(int dimensions, const int64_t *shape)
{
    th_chunks chunks;
    int64_t   next = 0, elements;

    assert_true(th_shape_elements(dimensions, shape, &elements));
    assert_true(th_chunks_choose(dimensions, shape, &chunks));
    for (int64_t i = 0; i < chunks.count; i++) {
        int64_t place[TH_TENSOR_DIMENSIONS], first, count, linear = 0;
        th_chunks_at(&chunks, i, place, &first, &count);
        assert_int_equal(first, next);
        assert_in_range(count, 1, chunks.chunk_elements);
        for (int d = 0; d < dimensions; d++) {
            assert_int_equal(place[d] % chunks.chunk[d], 0);
            linear = linear * shape[d] + place[d];
        }
        assert_int_equal(linear, first);
        next += count;
    }
    assert_int_equal(next, elements);
}

static void chunks_cover_the_tensor(void **state)
{
    static const struct {
        int     dimensions;
        int64_t shape[TH_TENSOR_DIMENSIONS];
    } cases[] = {
        { 1, { 1 } },
        { 1, { 1000003 } },
        { 2, { 49408, 512 } },
        { 2, { 3, 1000003 } },
        { 2, { 2, 262145 } },
        { 3, { 5, 7, 300000 } },
        { 3, { 5, 700, 1000 } },
        { 4, { 768, 3, 32, 32 } },
        { 4, { 2, 3, 4, 500000 } },
        { 4, { 1, 1, 1, 1 } },
        { 4, { 3, 1, 2, 262144 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_cover(cases[i].dimensions, cases[i].shape);
}

static void impossible_shapes_are_refused(void **state)
{
    th_chunks     chunks;
    const int64_t huge[] = { INT64_MAX, 2 }, empty[] = { 3, 0 }, negative[] = { -1 };
    const int64_t shape[] = { 4, 6 }, gap[] = { 2, 3 }, larger[] = { 1, 7 };

    (void)state;
    assert_false(th_chunks_choose(0, shape, &chunks));
    assert_false(th_chunks_choose(5, shape, &chunks));
    assert_false(th_chunks_choose(2, huge, &chunks));
    assert_false(th_chunks_choose(2, empty, &chunks));
    assert_false(th_chunks_choose(1, negative, &chunks));
    assert_false(th_chunks_accept(2, shape, gap, &chunks)); // not one contiguous run
    assert_false(th_chunks_accept(2, shape, larger, &chunks));
    assert_false(th_chunks_accept(2, shape, empty, &chunks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_equals_its_definition),
        cmocka_unit_test(chunks_cover_the_tensor),
        cmocka_unit_test(impossible_shapes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
