/* trainer/optim/squares.h - sums of squares over the parameter table, tower by tower: norms.
 *
 * The arena is cut into blocks at fixed places, whatever rows stand there. A block is added up in
 * double, in lanes, a set of them for each tower, and the blocks one after the other: the bits
 * depend on the values and on which rows count, not on threads or vector width. Compiled without
 * contraction, as adamw.c. */
#ifndef TH_TRAINER_OPTIM_SQUARES_H
#define TH_TRAINER_OPTIM_SQUARES_H

#include "trainer/parameters.h"

#define TH_SQUARE_LANES 16   // partial sums: the same on any vector width
#define TH_MOST_BLOCKS  4096 // of an arena; those of a larger table are longer

typedef struct {
    double of[3]; // by th_tower: image, text, neither
} th_squares;

typedef struct {
    double lanes[3][TH_SQUARE_LANES];
} th_square_lanes;

/* Over values[elements], one of the table's arrays: of the rows that train, or of those that do
 * not. NaN and infinity come through. Local; opens an OpenMP region. */
th_squares th_squares_of(const th_parameters *parameters, const th_real *values, bool trainable);

/* Norm over all. Local. */
double th_squares_norm(const th_squares *squares);

/* What th_squares_of is made of, for one that passes over the arenas anyway (adamw.c): it must cut
 * them at the same places, and a row within a block only at multiples of TH_SQUARE_LANES. Local. */

/* Elements of a block; at most TH_MOST_BLOCKS of them are in the arena. */
int64_t th_block_elements(const th_parameters *parameters);

/* The last row that begins at or before this element. */
int th_block_row(const th_parameters *parameters, int64_t element);

/* The part of a row that lies in a block; false when it has none. */
bool th_block_piece(const th_parameter *row, int64_t block_first, int64_t block_end,
                    int64_t *out_first, int64_t *out_count);

void       th_squares_add(const th_real *values, int64_t count, double lanes[TH_SQUARE_LANES]);
th_squares th_squares_of_block(const th_square_lanes *lanes);
th_squares th_squares_of_blocks(const th_squares *blocks, int64_t count);

#endif
