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

#define BLOCK     ((int64_t)1 << 16) // elements: 256 KiB of each of the four arenas
#define MOST_SUMS 4096               // blocks of a norm; those of a larger table are longer
#define LANES     16                 // partial sums of a block: the same on any vector width

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

// The sum of squares, added up in lanes so that every vector width gives the same bits.
TH_CLONES
static void add_squares(const th_real *values, int64_t count, double lanes[LANES])
{
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES)
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (int lane = 0; i < count; i++, lane++)
        lanes[lane] += (double)values[i] * (double)values[i];
}

// The last row that begins at or before this element of the arena.
static int row_at(const th_parameters *parameters, int64_t element)
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

// The part of a row that lies in a block of the arena; false when there is none to train.
static bool piece_of(const th_parameter *row, int64_t block_first, int64_t block_end,
                     int64_t *out_first, int64_t *out_count)
{
    int64_t first = row->offset > block_first ? row->offset : block_first;
    int64_t end = row->offset + row->count;

    if (end > block_end)
        end = block_end;
    *out_first = first;
    *out_count = end - first;
    return row->trainable && end > first;
}

static double block_squares(const th_parameters *parameters, int64_t first, int64_t end)
{
    double  lanes[LANES] = { 0 }, sum = 0;
    int64_t from, count;

    for (int row = row_at(parameters, first);
         row < parameters->row_count && parameters->rows[row].offset < end; row++)
        if (piece_of(&parameters->rows[row], first, end, &from, &count))
            add_squares(parameters->gradient + from, count, lanes);
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

double th_gradient_norm(const th_parameters *parameters)
{
    double  sums[MOST_SUMS], sum = 0;
    int64_t block = BLOCK, elements = parameters->elements;

    while (elements > block * MOST_SUMS)
        block *= 2;
    int64_t blocks = (elements + block - 1) / block;
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < blocks; i++)
        sums[i] = block_squares(parameters, i * block, (i + 1) * block);
    for (int64_t i = 0; i < blocks; i++)
        sum += sums[i];
    return sqrt(sum);
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

static void clamp_logit_scale(th_parameters *parameters)
{
    int      row = parameters->logit_scale;
    th_real *value = th_weight(parameters, row), most = (th_real)log(100.0);

    if (!parameters->rows[row].trainable)
        return;
    if (*value < 0)
        *value = 0;
    if (*value > most)
        *value = most;
}

void th_adamw_update(th_parameters *parameters, const th_adamw *adamw, const double *lr,
                     double norm)
{
    double  clip = adamw->clip_norm > 0 && norm > adamw->clip_norm ? adamw->clip_norm / norm : 1;
    int64_t blocks = (parameters->elements + BLOCK - 1) / BLOCK;

    for (int row = 0; row < parameters->row_count; row++)
        parameters->step[row] += parameters->rows[row].trainable;
#pragma omp parallel for schedule(dynamic)
    for (int64_t block = 0; block < blocks; block++) {
        int64_t first = block * BLOCK, end = first + BLOCK, from, count;
        for (int row = row_at(parameters, first);
             row < parameters->row_count && parameters->rows[row].offset < end; row++) {
            if (!piece_of(&parameters->rows[row], first, end, &from, &count))
                continue;
            update(parameters->weight + from, parameters->gradient + from,
                   parameters->exp_avg + from, parameters->exp_avg_sq + from, count,
                   coefficients_of(adamw, decays(adamw, &parameters->rows[row]),
                                   (double)parameters->step[row], lr[row], clip));
        }
    }
    clamp_logit_scale(parameters);
}
