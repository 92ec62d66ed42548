#include "../../test.h"

#include "base/slice.h"
#include "trainer/loss/contrastive.h"
#include "trainer/loss/tiles.h"
#include <omp.h>

// With B orthonormal features the similarities are 1 on the diagonal and 0 elsewhere, so the loss
// has a closed form that shares no code with ours: log(1 + (B - 1) exp(-scale)). Products, maxima
// and differences are exact here, which leaves the float exp (1e-7 relative) and a sum near 1 in
// double.
#define TOLERANCE(loss) (2e-7 * (loss) + 1e-15)

static const struct loss_case {
    int64_t B, K;
    double  logit_scale;
} cases[] = {
    { 8, 1, -INFINITY },      // scale 0: log B
    { 2, 1, 0 },              // scale 1
    { 8, 1, 2.6592600369 },   // CLIP's first temperature: the loss is 4e-6
    { 8, 3, 2.6592600369 },   //
    { 400, 1, 2.6592600369 }, // many tiles
    { 8, 1, 4.60517018599 },  // the limit, scale 100: 0, not NaN
    { 1, 1, 2.6592600369 },   // one pair: 0
};

static void loss_matches_closed_form(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        const struct loss_case *c = &cases[n];
        th_world                world = { .rank = 0, .size = 1 };
        th_arena                arena = { 0 };
        th_err                  err = { 0 };
        th_real                *image = calloc((size_t)(c->B * c->B), sizeof *image);
        th_real                *text = calloc((size_t)(c->B * c->K * c->B), sizeof *text);

        assert_true(image && text);
        for (int64_t i = 0; i < c->B; i++) {
            image[i * c->B + i] = 1;
            for (int64_t k = 0; k < c->K; k++)
                text[(i * c->K + k) * c->B + i] = 1;
        }
        th_contrastive_output out = { 0 };
        th_contrastive_input  in = { .B = c->B,
                                     .d = c->B,
                                     .K = c->K,
                                     .image = image,
                                     .text = text,
                                     .logit_scale = (th_real)c->logit_scale };
        double                scale = (double)(th_real)exp((double)in.logit_scale);
        double                want = log1p((double)(c->B - 1) * exp(-scale));
        th_assert_ok(th_arena_open(&arena, th_contrastive_bytes(&world, &in), &err), &err);
        th_assert_ok(th_contrastive(&world, &in, &arena, &out, &err), &err);
        th_assert_close(out.loss, want, TOLERANCE(want));
        th_arena_close(&arena);
        free(image);
        free(text);
    }
}

// How often each pair of samples was visited.
struct visits {
    int64_t B;
    int    *count; // [B, B]
};

static void visit(void *context, const th_tile_span *row, const th_tile_span *column)
{
    const struct visits *visits = context;

    for (int64_t i = row->first; i < row->first + row->count; i++)
        for (int64_t j = column->first; j < column->first + column->count; j++)
            visits->count[i * visits->B + j]++;
}

static bool wanted_pair(th_tiles_wanted wanted, bool row, bool column)
{
    return wanted == TH_OWN_ROWS ? row : wanted == TH_OWN_COLUMNS ? column : row || column;
}

// Every wanted pair once and no other, for each rank of 1 to 3 and batches around a tile's side.
static void a_walk_visits_what_is_wanted_once(void **state)
{
    static const int64_t batches[] = { 1, 2, 48, 49, 150, 700 };

    (void)state;
    for (int n = 0; n < 6 * 3 * 3 * 3; n++) {
        int64_t         B = batches[n % 6];
        int             size = n / 6 % 3 + 1, rank = n / 18 % 3;
        th_tiles_wanted wanted = (th_tiles_wanted)(n / 54);
        th_world        world = { .rank = rank, .size = size };
        th_arena        arena = { 0 };
        th_err          err = { 0 };
        th_tiles        tiles = { 0 };
        struct visits   visits = { B, calloc((size_t)(B * B), sizeof(int)) };

        if (rank < size) {
            assert_non_null(visits.count);
            th_assert_ok(th_arena_open(&arena, th_tiles_bytes(B), &err), &err);
            th_assert_ok(th_tiles_cut(&world, B, &arena, &tiles, &err), &err);
            th_tiles_walk(&tiles, wanted, visit, &visits);
            int64_t first = th_slice_first(B, size, rank), end = th_slice_first(B, size, rank + 1);
            for (int64_t i = 0; i < B; i++)
                for (int64_t j = 0; j < B; j++)
                    assert_int_equal(
                        visits.count[i * B + j],
                        wanted_pair(wanted, i >= first && i < end, j >= first && j < end));
            th_arena_close(&arena);
        }
        free(visits.count);
    }
}

// Every pair of two blocks once, as the ring of the sigmoid loss has them.
static void a_walk_of_blocks_visits_every_pair_once(void **state)
{
    static const int64_t samples[] = { 0, 1, 48, 97, 200 };

    (void)state;
    for (int n = 0; n < 25; n++) {
        int64_t       rows = samples[n % 5], columns = samples[n / 5], most = 200;
        th_arena      arena = { 0 };
        th_err        err = { 0 };
        th_tiles      tiles = { 0 };
        struct visits visits = { most, calloc((size_t)(most * most), sizeof(int)) };

        assert_non_null(visits.count);
        th_assert_ok(th_arena_open(&arena, th_tiles_block_bytes(48, most), &err), &err);
        th_assert_ok(th_tiles_take(48, most, &arena, &tiles, &err), &err);
        th_tiles_cut_block(&tiles, 48, rows, columns);
        th_tiles_walk(&tiles, TH_OWN_ROWS, visit, &visits);
        for (int64_t i = 0; i < most; i++)
            for (int64_t j = 0; j < most; j++)
                assert_int_equal(visits.count[i * most + j], i < rows && j < columns);
        th_arena_close(&arena);
        free(visits.count);
    }
}

// b = 512 samples a rank: what the sigmoid loss takes does not depend on how many ranks there are.
static void sigmoid_takes_the_same_on_any_number_of_ranks(void **state)
{
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        size_t two = 0;
        for (int size = 2; size <= 4096; size *= 2) {
            th_world             world = { .size = size };
            th_contrastive_input in = { .kind = TH_SIGMOID_LOSS,
                                        .B = 512 * size,
                                        .d = 64,
                                        .K = 2,
                                        .backward = true,
                                        .mask_duplicates = masked };
            size_t               bytes = th_contrastive_bytes(&world, &in);
            two = size == 2 ? bytes : two;
            assert_int_equal(bytes, two);
        }
        // Two blocks of texts, and as much again for everything else.
        assert_true(two < 4 * (size_t)512 * 64 * 2 * sizeof(th_real));
    }
}

static void a_side_is_whole_units(void **state)
{
    (void)state;
    for (int64_t B = 1; B < 1 << 20; B += 1 + B / 7) {
        int64_t side = th_tile_side(B);
        assert_true(side % 48 == 0 && side >= 48 && side <= TH_TILE_LARGEST);
    }
    assert_int_equal(th_tile_side(32768), TH_TILE_LARGEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_matches_closed_form),
        cmocka_unit_test(a_walk_visits_what_is_wanted_once),
        cmocka_unit_test(a_walk_of_blocks_visits_every_pair_once),
        cmocka_unit_test(sigmoid_takes_the_same_on_any_number_of_ranks),
        cmocka_unit_test(a_side_is_whole_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
