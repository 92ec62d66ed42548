/* trainer/initialize.c - first weights: open_clip's distributions, drawn by row, so that they are
 * the same on every rank and do not depend on what other rows there are. */
#include "base/philox.h"
#include "trainer/parameters.h"

static void fill(th_real *weight, const th_parameter *row, th_rng *rng)
{
    double amount = row->init_amount;

    for (int64_t i = 0; i < row->count; i++) {
        double value = 0;
        switch (row->init) {
        case TH_INIT_ZERO:
            break;
        case TH_INIT_ONE:
            value = 1;
            break;
        case TH_INIT_VALUE:
            value = amount;
            break;
        case TH_INIT_UNIFORM:
            value = amount * (2 * th_rng_uniform(rng) - 1);
            break;
        case TH_INIT_IDENTITY:
            value = i % (row->shape[1] + 1) == 0;
            break;
        case TH_INIT_NORMAL:
            value = amount * th_rng_normal(rng);
            break;
        }
        weight[i] = (th_real)value;
    }
}

void th_parameters_init(th_parameters *parameters, uint64_t seed)
{
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < parameters->row_count; i++) {
        th_rng rng;
        th_rng_init(&rng, seed, TH_FOR_INIT, 0, (uint64_t)i);
        fill(th_weight(parameters, i), &parameters->rows[i], &rng);
    }
}
