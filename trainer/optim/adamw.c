// Memory is what this costs: seven numbers read or written per parameter, a few operations on each.
// So one pass over all, cut at fixed places of the arena, whatever rows stand there.
//
// No contraction: a multiply-add would round once where the machine has it and twice where it has
// not, and a run must not depend on the processor that it was resumed on.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "trainer/optim/adamw.h"

#include "trainer/nn/clones.h"

#include <math.h>

#define CHUNK ((int64_t)2048) // elements that are still in the first cache when they are squared

#ifdef TH_DOUBLE
#define SQUARE_ROOT sqrt
#else
#define SQUARE_ROOT sqrtf
#endif

// What one row's update is made of, in the precision of the weights.
struct coefficients {
    th_real clip;         // gradients are multiplied by it
    th_real keep;         // 1 - lr decay
    th_real beta1, beta2; // and the rests to 1, which are not exact in float
    th_real rest1, rest2;
    th_real rate;            // lr / (1 - beta1^t)
    th_real root_correction; // 1 / sqrt(1 - beta2^t)
    th_real eps;
};

TH_CLONES
static void update(th_real *restrict weight, const th_real *restrict gradient,
                   th_real *restrict exp_avg, th_real *restrict exp_avg_sq, int64_t count,
                   struct coefficients c)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        th_real g = gradient[i] * c.clip;
        th_real m = c.beta1 * exp_avg[i] + c.rest1 * g;
        th_real v = c.beta2 * exp_avg_sq[i] + c.rest2 * (g * g);
        th_real root = SQUARE_ROOT(v) * c.root_correction + c.eps;
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        weight[i] = weight[i] * c.keep - c.rate * (m / root);
    }
}

double th_gradient_norm(const th_parameters *parameters)
{
    th_squares squares = th_squares_of(parameters, parameters->gradient, true);

    return th_squares_norm(&squares);
}

// Embeddings of positions and of token types are the rows of two dimensions that the table spares.
static bool decays(const th_adamw *adamw, const th_parameter *row)
{
    return row->decay || (adamw->decay_positions && row->dimensions >= 2);
}

static struct coefficients coefficients_of(const th_adamw *adamw, bool decay, double t, double lr,
                                           double clip)
{
    return (struct coefficients){
        .clip = (th_real)clip,
        .keep = (th_real)(decay ? 1 - lr * adamw->weight_decay : 1),
        .beta1 = (th_real)adamw->beta1,
        .beta2 = (th_real)adamw->beta2,
        .rest1 = (th_real)(1 - adamw->beta1),
        .rest2 = (th_real)(1 - adamw->beta2),
        .rate = (th_real)(lr / (1 - pow(adamw->beta1, t))),
        .root_correction = (th_real)(1 / sqrt(1 - pow(adamw->beta2, t))),
        .eps = (th_real)adamw->eps,
    };
}

static void clamp_logit_scale(th_real *value)
{
    th_real most = (th_real)log(100.0);

    if (*value < 0)
        *value = 0;
    if (*value > most)
        *value = most;
}

// What an update needs beside the table.
struct pass {
    const th_adamw *adamw;
    const double   *lr;
    double          clip;
    int             logit_scale; // its row
};

// One row's part of a block, and the squares of what comes of it while that is at hand.
static void update_piece(th_parameters *parameters, const struct pass *pass, int row, int64_t first,
                         int64_t count, double lanes[TH_SQUARE_LANES])
{
    struct coefficients c =
        coefficients_of(pass->adamw, decays(pass->adamw, &parameters->rows[row]),
                        (double)parameters->step[row], pass->lr[row], pass->clip);

    for (int64_t done = 0; done < count; done += CHUNK) {
        int64_t at = first + done, chunk = count - done < CHUNK ? count - done : CHUNK;
        update(parameters->weight + at, parameters->gradient + at, parameters->exp_avg + at,
               parameters->exp_avg_sq + at, chunk, c);
        if (row == pass->logit_scale)
            clamp_logit_scale(parameters->weight + at);
        th_squares_add(parameters->weight + at, chunk, lanes);
    }
}

static th_squares update_block(th_parameters *parameters, const struct pass *pass, int64_t first,
                               int64_t end)
{
    th_square_lanes lanes = { 0 };
    int64_t         from, count;

    for (int i = th_block_row(parameters, first);
         i < parameters->row_count && parameters->rows[i].offset < end; i++) {
        const th_parameter *row = &parameters->rows[i];
        if (row->trainable && th_block_piece(row, first, end, &from, &count))
            update_piece(parameters, pass, i, from, count, lanes.lanes[row->tower]);
    }
    return th_squares_of_block(&lanes);
}

th_squares th_adamw_update(th_parameters *parameters, const th_adamw *adamw, const double *lr,
                           double norm)
{
    bool        clips = adamw->clip_norm > 0 && norm > adamw->clip_norm;
    struct pass pass = { .adamw = adamw,
                         .lr = lr,
                         .clip = clips ? adamw->clip_norm / norm : 1,
                         .logit_scale = parameters->logit_scale };
    th_squares  sums[TH_MOST_BLOCKS];
    int64_t     block = th_block_elements(parameters);
    int64_t     blocks = (parameters->elements + block - 1) / block;

    for (int row = 0; row < parameters->row_count; row++)
        parameters->step[row] += parameters->rows[row].trainable;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < blocks; i++)
        sums[i] = update_block(parameters, &pass, i * block, (i + 1) * block);
    return th_squares_of_blocks(sums, blocks);
}
