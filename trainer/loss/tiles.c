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

// Appends the spans of the samples first .. end - 1; returns how many there are then.
static int cut_part(th_tile_span *spans, int count, int64_t first, int64_t end, int64_t side,
                    bool own)
{
    for (; first < end; first += side)
        spans[count++] = (th_tile_span){ .first = first,
                                         .count = end - first < side ? end - first : side,
                                         .own = own };
    return count;
}

th_code th_tiles_cut(const th_world *world, int64_t B, th_arena *arena, th_tiles *out, th_err *err)
{
    th_code  rc = TH_OK;
    int64_t  side = th_tile_side(B);
    int64_t  first = th_slice_first(B, world->size, world->rank);
    int64_t  end = th_slice_first(B, world->size, world->rank + 1);
    th_tiles tiles = { .rows = th_arena_take(arena, most_spans(B), sizeof *tiles.rows),
                       .turns = th_arena_take(arena, most_spans(B), 2) };

    TH_CHECK(tiles.rows && tiles.turns, TH_EIO, "plan the arena with th_contrastive_bytes",
             "could not cut %lld samples into tiles: the arena is full", (long long)B);
    int count = cut_part(tiles.rows, 0, 0, first, side, false);
    count = cut_part(tiles.rows, count, first, end, side, true);
    count = cut_part(tiles.rows, count, end, B, side, false);
    tiles.columns = tiles.rows;
    tiles.row_count = tiles.column_count = count;
    *out = tiles;
out:
    return rc;
}

size_t th_tiles_block_bytes(int64_t side, int64_t samples)
{
    size_t spans = (size_t)(samples / side) + 1;

    return 2 * spans * (sizeof(th_tile_span) + 1) + 3 * (size_t)64; // three roundings
}

th_code th_tiles_take(int64_t side, int64_t samples, th_arena *arena, th_tiles *out, th_err *err)
{
    th_code  rc = TH_OK;
    size_t   spans = (size_t)(samples / side) + 1;
    th_tiles tiles = { .rows = th_arena_take(arena, spans, sizeof *tiles.rows),
                       .columns = th_arena_take(arena, spans, sizeof *tiles.columns),
                       .turns = th_arena_take(arena, spans, 2) };

    TH_CHECK(tiles.rows && tiles.columns && tiles.turns, TH_EIO,
             "plan the arena with th_contrastive_bytes",
             "could not cut %lld samples into tiles: the arena is full", (long long)samples);
    *out = tiles;
out:
    return rc;
}

void th_tiles_cut_block(th_tiles *tiles, int64_t side, int64_t rows, int64_t columns)
{
    tiles->row_count = cut_part(tiles->rows, 0, 0, rows, side, true);
    tiles->column_count = cut_part(tiles->columns, 0, 0, columns, side, true);
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

// Along the diagonals: the tiles of one diagonal share no span (where there are as many columns as
// rows), so as many tasks can run as there
// are spans. A tile waits for the one that was created before it in its row and in its column;
// which thread runs it, and when, changes nothing. The master creates them: libgomp loses the table
// of waits of another thread that is not in the next team.
void th_tiles_walk(const th_tiles *tiles, th_tiles_wanted wanted, th_tile_work *work, void *context)
{
    const th_tile_span *rows = tiles->rows, *columns = tiles->columns;
    char               *turns = tiles->turns;
    int                 row_count = tiles->row_count, column_count = tiles->column_count;

#pragma omp parallel
#pragma omp master
    for (int shift = 0; shift < column_count; shift++) {
        for (int i = 0; i < row_count; i++) {
            int   j = (i + shift) % column_count;
            char *row = turns + i, *column = turns + row_count + j;
            if (!is_wanted(wanted, rows[i].own, columns[j].own))
                continue;
                // clang-format off
#pragma omp task firstprivate(work, context, rows, columns, i, j) depend(inout : *row, *column)
            // clang-format on
            work(context, &rows[i], &columns[j]);
        }
    }
}
