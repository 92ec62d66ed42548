// Blocks that go round, against the obvious: every byte tells whose it is and where it stands.
#include "tests/mpi/mpi_test.h"

#include "comm/mpi_private.h"
#include "comm/ring.h"

#include <limits.h>
#include <stdlib.h>

static th_world *const world = &th_mpi_world;

static uint8_t byte_of(int owner, size_t k)
{
    return (uint8_t)((uint64_t)owner * 89 + k * 17 % 251);
}

// A whole round: after i calls the block of rank r + i is here, after all of them one's own.
static void go_round(size_t size, int limit)
{
    uint8_t *block = malloc(size + 1);
    th_err   err = { 0 };

    assert_non_null(block);
    block[size] = 0xA5;
    for (size_t k = 0; k < size; k++)
        block[k] = byte_of(world->rank, k);
    for (int turn = 1; turn <= world->size; turn++) {
        int owner = (world->rank + turn) % world->size;
        th_assert_ok(limit ? th_ring_pass_limit(world, block, size, limit, &err)
                           : th_ring_pass(world, block, size, &err),
                     &err);
        for (size_t k = 0; k < size; k++)
            if (block[k] != byte_of(owner, k))
                fail_msg("%zu bytes, turn %d: byte %zu is %d, not %d", size, turn, k, block[k],
                         byte_of(owner, k));
    }
    assert_int_equal(block[size], 0xA5); // and not one byte more
    free(block);
}

static void blocks_come_home(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 1000, 70000 };

    (void)state;
    for (int i = 0; i < 5; i++)
        go_round(sizes[i], 0);
}

static void long_blocks_travel_as_pieces(void **state)
{
    (void)state;
    go_round(((size_t)1 << 20) * 2 + 12345, 0);
    go_round(1000, 1000);
    go_round(1000, 999);
    go_round(1000, 7);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_home),
        cmocka_unit_test(long_blocks_travel_as_pieces),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
