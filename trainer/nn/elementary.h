/* trainer/nn/elementary.h - exp and erf that a compiler can vectorise: no branches, no tables.
 *
 * In float: th_exp is within 1.5e-7 relative for -87.3 < x < 88.3; below it is 0, above infinity.
 * th_erf is within 3.5e-7 absolute (rounding of t where erf is steep). NaN stays NaN. In double
 * they are libm's. The coefficients are minimax fits of our own (weighted least squares with
 * Lawson's iteration in 40 digits). Calls: Local; any thread. */
#ifndef TH_TRAINER_NN_ELEMENTARY_H
#define TH_TRAINER_NN_ELEMENTARY_H

#include "trainer/nn/real.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef TH_DOUBLE

static inline double th_exp(double x)
{
    return exp(x);
}

static inline double th_erf(double x, double *gauss)
{
    *gauss = exp(-x * x);
    return erf(x);
}

#else

// exp(x) = 2^n exp(r), n = x / ln 2 to the nearest, |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r).
static inline float th_exp(float x)
{
    const float round = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer, in the low bits
    float       shifted = x * 1.44269504f + round, n = shifted - round;
    float       r = x - n * 0.693359375f + n * 2.12194440e-4f; // ln 2 in two parts
    float       q = 0.00138144283f;
    q = q * r + 0.00836879715f;
    q = q * r + 0.0416683959f;
    q = q * r + 0.1666652f;
    q = q * r + 0.499999934f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127u << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    float y = (1 + (r + r * r * q)) * scale;
    y = x < -87.3f ? 0.0f : y;
    return x > 88.3f ? HUGE_VALF : y;
}

// erfc(x) = exp(-x^2) p(t) with t = 1 / (1 + 0.45 x), x >= 0: the form of Abramowitz and Stegun
// 7.1.26, with seven terms (their error is 1e-9). *gauss = exp(-x^2), which the derivative needs.
static inline float th_erf(float x, float *gauss)
{
    float size = fabsf(x), t = 1 / (1 + 0.45f * size);
    float p = 0.0925694121f;
    p = p * t - 0.494102788f;
    p = p * t + 0.857163824f;
    p = p * t - 0.375797649f;
    p = p * t + 0.460167004f;
    p = p * t + 0.201010705f;
    p = p * t + 0.258989493f;
    *gauss = th_exp(-x * x);
    return copysignf(1 - *gauss * (p * t), x);
}

#endif
#endif
