#include "trainer/loss/tiles.h"

#include "base/slice.h"

#define UNIT 48 // rows: OpenBLAS gives a row the same bits in any call of whole units

int64_t th_tile_side(int64_t B)
{
    int64_t side = (B / 12 + UNIT - 1) / UNIT * UNIT;

    return side < UNIT ? UNIT : side > TH_TILE_LARGEST ? TH_TILE_LARGEST : side;
}

// Three parts, each with a last span that may be short.
static size_t most_spans(int64_t B)
{
    return (size_t)(B / th_tile_side(B)) + 3;
}

size_t th_tiles_bytes(int64_t B)
{
    return most_spans(B) * (sizeof(th_tile_span) + 2) + 2 * (size_t)64; // two roundings
}

static void cut_part(th_tiles *tiles, int64_t first, int64_t end, int64_t side, bool own)
{
    for (; first < end; first += side) {
        int64_t count = end - first < side ? end - first : side;
        tiles->spans[tiles->count++] = (th_tile_span){ .first = first, .count = count, .own = own };
    }
}

th_code th_tiles_cut(const th_world *world, int64_t B, th_arena *arena, th_tiles *out, th_err *err)
{
    th_code  rc = TH_OK;
    int64_t  side = th_tile_side(B);
    int64_t  first = th_slice_first(B, world->size, world->rank);
    int64_t  end = th_slice_first(B, world->size, world->rank + 1);
    th_tiles tiles = { .spans = th_arena_take(arena, most_spans(B), sizeof *tiles.spans),
                       .turns = th_arena_take(arena, most_spans(B), 2) };

    TH_CHECK(tiles.spans && tiles.turns, TH_EIO, "plan the arena with th_contrastive_bytes",
             "could not cut %lld samples into tiles: the arena is full", (long long)B);
    cut_part(&tiles, 0, first, side, false);
    cut_part(&tiles, first, end, side, true);
    cut_part(&tiles, end, B, side, false);
    *out = tiles;
out:
    return rc;
}

static bool is_wanted(th_tiles_wanted wanted, bool own_row, bool own_column)
{
    switch (wanted) {
    case TH_OWN_ROWS:
        return own_row;
    case TH_OWN_COLUMNS:
        return own_column;
    case TH_OWN_EITHER:
        return own_row || own_column;
    }
    return false;
}

// Along the diagonals: the tiles of one diagonal share no span, so as many tasks can run as there
// are spans. A tile waits for the one that was created before it in its row and in its column;
// which thread runs it, and when, changes nothing. The master creates them: libgomp loses the table
// of waits of another thread that is not in the next team.
void th_tiles_walk(const th_tiles *tiles, th_tiles_wanted wanted, th_tile_work *work, void *context)
{
    const th_tile_span *spans = tiles->spans;
    char               *turns = tiles->turns;
    int                 count = tiles->count;

#pragma omp parallel
#pragma omp master
    for (int shift = 0; shift < count; shift++) {
        for (int i = 0; i < count; i++) {
            int   j = (i + shift) % count;
            char *row = turns + i, *column = turns + count + j;
            if (!is_wanted(wanted, spans[i].own, spans[j].own))
                continue;
                // clang-format off
#pragma omp task firstprivate(work, context, spans, i, j) depend(inout : *row, *column)
            // clang-format on
            work(context, &spans[i], &spans[j]);
        }
    }
}
