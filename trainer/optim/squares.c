#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "trainer/optim/squares.h"

#include "trainer/nn/clones.h"

#include <math.h>

#define BLOCK ((int64_t)1 << 16) // elements: 256 KiB of each of the four arenas

int64_t th_block_elements(const th_parameters *parameters)
{
    int64_t block = BLOCK;

    while (parameters->elements > block * TH_MOST_BLOCKS)
        block *= 2;
    return block;
}

int th_block_row(const th_parameters *parameters, int64_t element)
{
    int low = 0, high = parameters->row_count - 1;

    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (parameters->rows[middle].offset <= element)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

bool th_block_piece(const th_parameter *row, int64_t block_first, int64_t block_end,
                    int64_t *out_first, int64_t *out_count)
{
    int64_t first = row->offset > block_first ? row->offset : block_first;
    int64_t end = row->offset + row->count;

    if (end > block_end)
        end = block_end;
    *out_first = first;
    *out_count = end - first;
    return end > first;
}

TH_CLONES
void th_squares_add(const th_real *values, int64_t count, double lanes[TH_SQUARE_LANES])
{
    int64_t i = 0;

    for (; i + TH_SQUARE_LANES <= count; i += TH_SQUARE_LANES)
#pragma omp simd
        for (int lane = 0; lane < TH_SQUARE_LANES; lane++)
            lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (int lane = 0; i < count; i++, lane++)
        lanes[lane] += (double)values[i] * (double)values[i];
}

th_squares th_squares_of_block(const th_square_lanes *lanes)
{
    th_squares sum = { 0 };

    for (int tower = 0; tower < 3; tower++)
        for (int lane = 0; lane < TH_SQUARE_LANES; lane++)
            sum.of[tower] += lanes->lanes[tower][lane];
    return sum;
}

th_squares th_squares_of_blocks(const th_squares *blocks, int64_t count)
{
    th_squares sum = { 0 };

    for (int64_t i = 0; i < count; i++)
        for (int tower = 0; tower < 3; tower++)
            sum.of[tower] += blocks[i].of[tower];
    return sum;
}

static th_squares block_squares(const th_parameters *parameters, const th_real *values,
                                bool trainable, int64_t first, int64_t end)
{
    th_square_lanes lanes = { 0 };
    int64_t         from, count;

    for (int i = th_block_row(parameters, first);
         i < parameters->row_count && parameters->rows[i].offset < end; i++) {
        const th_parameter *row = &parameters->rows[i];
        if (row->trainable == trainable && th_block_piece(row, first, end, &from, &count))
            th_squares_add(values + from, count, lanes.lanes[row->tower]);
    }
    return th_squares_of_block(&lanes);
}

th_squares th_squares_of(const th_parameters *parameters, const th_real *values, bool trainable)
{
    th_squares sums[TH_MOST_BLOCKS];
    int64_t    block = th_block_elements(parameters);
    int64_t    blocks = (parameters->elements + block - 1) / block;

#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < blocks; i++)
        sums[i] = block_squares(parameters, values, trainable, i * block, (i + 1) * block);
    return th_squares_of_blocks(sums, blocks);
}

double th_squares_norm(const th_squares *squares)
{
    return sqrt(squares->of[TH_IMAGE] + squares->of[TH_TEXT_TOWER] + squares->of[TH_NO_TOWER]);
}
