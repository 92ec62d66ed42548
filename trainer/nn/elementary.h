/* trainer/nn/elementary.h - exp, erf, softplus that a compiler can vectorise: no branches or
 * tables.
 *
 * In float: th_exp is within 1.5e-7 relative for -87.3 < x < 88.3; below it is 0, above infinity.
 * th_erf is within 3.5e-7 absolute (rounding of t where erf is steep). th_softplus is log(1 +
 * exp(x)), and *sigmoid its derivative, both within 5e-7 relative where exp is. NaN stays NaN. In
 * double they are libm's. The coefficients are minimax fits of our own (weighted least squares with
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

static inline double th_softplus(double x, double *sigmoid)
{
    double e = exp(-fabs(x));
    *sigmoid = (x >= 0 ? 1 : e) / (1 + e);
    return (x > 0 ? x : 0) + log1p(e);
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

// With e = exp(-|x|): max(x, 0) + log(1 + e), and log(1 + e) = 2 atanh(t), t = e / (2 + e) <= 1
// / 3. Its series in t^2 (four terms of a fit, 2e-8) keeps the digits of a small e; one division
// gives t and 1 / (1 + e). Written so that a NaN goes through e.
static inline float th_softplus(float x, float *sigmoid)
{
    float e = th_exp(-fabsf(x)), inverse = 1 / ((1 + e) * (2 + e));
    float t = e * ((1 + e) * inverse), u = t * t;
    float p = 0.134257495f;
    p = p * u + 0.141183093f;
    p = p * u + 0.200037807f;
    p = p * u + 0.333333194f;
    *sigmoid = (x >= 0 ? 1 : e) * ((2 + e) * inverse);
    return (x > 0 ? x : 0) + 2 * (t + t * (u * p));
}

#endif
#endif
