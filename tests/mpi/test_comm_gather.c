// All-gather of rows against the obvious: every byte of every row has a value that tells its place.
#include "tests/mpi/mpi_test.h"

#include "base/slice.h"
#include "comm/mpi_private.h"

#include <limits.h>
#include <stdlib.h>

static th_world *const world = &th_mpi_world;

static uint8_t byte_of(int64_t row, size_t k, int salt)
{
    return (uint8_t)((uint64_t)(row * 131 + (int64_t)k * 17 + (int64_t)salt * 59) % 253);
}

typedef struct {
    uint8_t   *local, *all;
    int64_t    rows;
    size_t     row_bytes;
    int        salt;
    th_gather *gather;
} job;

// in_place: this rank's rows stand at their place in `all` from the start.
static job start(int64_t rows, size_t row_bytes, int limit, bool in_place, int salt)
{
    job     j = { .rows = rows, .row_bytes = row_bytes, .salt = salt };
    int64_t first = th_slice_first(rows, world->size, world->rank);
    int64_t count = th_slice_count(rows, world->size, world->rank);
    size_t  total = (size_t)rows * row_bytes;
    th_err  err = { 0 };

    j.all = malloc(total + 1);
    j.local = malloc((size_t)count * row_bytes + 1);
    assert_non_null(j.all);
    assert_non_null(j.local);
    memset(j.all, 0xFE, total + 1); // a value that byte_of never has
    uint8_t *from = in_place ? j.all + (size_t)first * row_bytes : j.local;
    for (int64_t row = 0; row < count; row++)
        for (size_t k = 0; k < row_bytes; k++)
            from[(size_t)row * row_bytes + k] = byte_of(first + row, k, salt);
    if (count == 0)
        from = NULL; // an empty slice needs no memory
    th_assert_ok(th_gather_start_limit(world, from, rows, row_bytes, j.all, limit, &j.gather, &err),
                 &err);
    return j;
}

static void finish(job *j)
{
    th_err err = { 0 };

    th_assert_ok(th_gather_finish(j->gather, &err), &err);
    for (int64_t row = 0; row < j->rows; row++)
        for (size_t k = 0; k < j->row_bytes; k++)
            if (j->all[(size_t)row * j->row_bytes + k] != byte_of(row, k, j->salt))
                fail_msg("%lld rows of %zu bytes: row %lld, byte %zu is %d, not %d",
                         (long long)j->rows, j->row_bytes, (long long)row, k,
                         j->all[(size_t)row * j->row_bytes + k], byte_of(row, k, j->salt));
    assert_int_equal(j->all[(size_t)j->rows * j->row_bytes], 0xFE); // and not one byte more
    free(j->local);
    free(j->all);
}

static void rows_arrive_in_rank_order(void **state)
{
    (void)state;
    static const size_t row_bytes[] = { 1, 4, 515, 2048 };

    for (size_t i = 0; i < sizeof row_bytes / sizeof *row_bytes; i++)
        for (int in_place = 0; in_place < 2; in_place++) {
            job j = start((int64_t)4 * world->size, row_bytes[i], INT_MAX, in_place, (int)i);
            finish(&j);
        }
}

// Rows longer than the limit: a piece and a rest, exact pieces, many pieces.
static void long_rows_travel_as_pieces(void **state)
{
    (void)state;
    static const size_t row_bytes[] = { 99, 100, 101, 199, 200, 201, 1000, 9999 };

    for (size_t i = 0; i < sizeof row_bytes / sizeof *row_bytes; i++) {
        job j = start(2 * world->size + 1, row_bytes[i], 100, false, (int)i);
        finish(&j);
    }
}

// No slice is like the next one: fewer rows than ranks leave some empty, 4097 over 4 makes one
// longer. Twice, so that a rank that was done early meets the next gather early.
static void uneven_and_empty_slices_arrive_whole(void **state)
{
    (void)state;
    static const int64_t rows[] = { 1, 2, 3, 7, 4097 };

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (int in_place = 0; in_place < 2; in_place++) {
                (void)usleep((useconds_t)((world->rank * 7 + (int)i * 3) % 5) * 200);
                job j = start(rows[i], 516, INT_MAX, in_place, round);
                finish(&j);
            }
}

// The image features' gather is under way while the text features' one starts.
static void two_gathers_under_way_do_not_mix(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        th_err err = { 0 };
        job    image = start(33, 4096, INT_MAX, true, 1);
        th_assert_ok(th_gather_drive(image.gather, &err), &err);
        (void)usleep((useconds_t)((world->rank * 7 + round * 3) % 5) * 300);
        job text = start(33, 4096, INT_MAX, false, 2);
        for (int i = 0; i < 5; i++) {
            th_assert_ok(th_gather_drive(text.gather, &err), &err);
            th_assert_ok(th_gather_drive(image.gather, &err), &err);
        }
        finish(&text);
        finish(&image);
    }
}

static void nothing_to_gather_is_fine(void **state)
{
    (void)state;
    job    no_rows = start(0, 16, INT_MAX, false, 1), no_bytes = start(5, 0, INT_MAX, false, 1);
    th_err err = { 0 };

    finish(&no_rows);
    finish(&no_bytes);
    th_assert_ok(th_gather_drive(NULL, &err), &err);
    th_assert_ok(th_gather_finish(NULL, &err), &err);
}

static void more_rows_than_mpi_counts_are_refused(void **state)
{
    (void)state;
    char       byte = 0;
    th_gather *gather = NULL;
    th_err     err = { 0 };

    assert_int_equal(th_gather_start(world, NULL, (int64_t)INT_MAX + 1, 1, &byte, &gather, &err),
                     TH_EUSAGE);
    assert_null(gather);
    assert_non_null(strstr(err.what, "2147483648 rows"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_arrive_in_rank_order),
        cmocka_unit_test(long_rows_travel_as_pieces),
        cmocka_unit_test(uneven_and_empty_slices_arrive_whole),
        cmocka_unit_test(two_gathers_under_way_do_not_mix),
        cmocka_unit_test(nothing_to_gather_is_fine),
        cmocka_unit_test(more_rows_than_mpi_counts_are_refused),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
