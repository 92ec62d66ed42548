/* trainer/loss/tiles.h - similarities as tiles, walked in an order that no thread changes.
 *
 * The whole batch by itself: both axes are cut alike, the samples before this rank's slice, the
 * slice, the samples after it, each in spans of th_tile_side(B) samples (the last of a part may be
 * shorter). Or one block of samples by another: both are cut from their starts. Where a span begins
 * depends on sizes, never on the threads. Tile (i, j) is row span i by column span j. */
#ifndef TH_TRAINER_LOSS_TILES_H
#define TH_TRAINER_LOSS_TILES_H

#include "base/memory.h"
#include "comm/world.h"
#include <stdbool.h>

#define TH_TILE_LARGEST 384 // 384 x 384 floats = 576 KiB: half of a 1 MiB L2

typedef struct {
    int64_t first, count; // samples
    bool    own;          // of this rank's slice
} th_tile_span;

typedef struct {
    th_tile_span *rows, *columns; // [row_count], [column_count]; the same spans for a whole batch
    char         *turns;          // one address a row and a column span, to wait on
    int           row_count, column_count;
} th_tiles;

/* Samples on a side: a multiple of 48, at most TH_TILE_LARGEST, a twelfth of B where that is less,
 * so that a small batch has tiles for many threads too. */
int64_t th_tile_side(int64_t B);

/* Arena bytes of th_tiles_cut. Local. */
size_t th_tiles_bytes(int64_t B);

/* Cuts B samples for this rank. The arrays live in the arena. Errors: TH_EIO (arena). Local. */
TH_MUST_CHECK th_code th_tiles_cut(const th_world *world, int64_t B, th_arena *arena, th_tiles *out,
                                   th_err *err);

/* Arena bytes of th_tiles_take. Local. */
size_t th_tiles_block_bytes(int64_t side, int64_t samples);

/* Room for blocks of up to so many samples. Errors: TH_EIO (arena). Local. */
TH_MUST_CHECK th_code th_tiles_take(int64_t side, int64_t samples, th_arena *arena, th_tiles *out,
                                    th_err *err);

/* Cuts a block of rows by a block of columns, numbered from 0, in that room. All spans are own; a
 * row and a column span of the same number lie at the same samples of their blocks. Local. */
void th_tiles_cut_block(th_tiles *tiles, int64_t side, int64_t rows, int64_t columns);

typedef enum { TH_OWN_ROWS, TH_OWN_COLUMNS, TH_OWN_EITHER } th_tiles_wanted;
typedef void th_tile_work(void *context, const th_tile_span *row, const th_tile_span *column);

/* Calls work for every wanted tile, on all threads at once. No two calls that run at a time share a
 * row span or a column span, and the tiles of one span come in a fixed order: what work adds up per
 * row or per column has the same bits on any number of threads. Local; opens an OpenMP region, in
 * which work may ask for omp_get_thread_num(). */
void th_tiles_walk(const th_tiles *tiles, th_tiles_wanted wanted, th_tile_work *work,
                   void *context);

#endif
