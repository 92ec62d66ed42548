#include "trainer/loss/sigmoid.h"

#include "trainer/nn/clones.h"
#include "trainer/nn/elementary.h"

TH_CLONES
static void sigmoid_of_row(th_real *row, int64_t columns, th_real scale, th_real bias, double *loss,
                           double *slope)
{
    double losses = 0, slopes = 0;

#pragma omp simd reduction(+ : losses, slopes)
    for (int64_t j = 0; j < columns; j++) {
        th_real g;
        losses += (double)th_softplus(scale * row[j] + bias, &g);
        slopes += (double)g;
        row[j] = g;
    }
    *loss += losses;
    *slope += slopes;
}

void th_sigmoid_tile(th_real *tile, int64_t rows, int64_t columns, th_real scale, th_real bias,
                     double *loss, double *slope)
{
    for (int64_t i = 0; i < rows; i++)
        sigmoid_of_row(tile + i * columns, columns, scale, bias, loss + i, slope + i);
}

double th_sigmoid_pair(th_real similarity, th_real scale, th_real bias, double *slope)
{
    double logit = (double)scale * (double)similarity + (double)bias, e = exp(-fabs(logit));

    *slope = -(logit >= 0 ? e : 1) / (1 + e);
    return (logit < 0 ? -logit : 0) + log1p(e);
}
