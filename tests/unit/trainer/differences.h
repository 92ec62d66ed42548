/* tests/unit/trainer/differences.h - is a gradient the derivative? Central differences in double.
 *
 * h = 1e-5: the difference of a function of order 1 is off by h^2 times its third derivative and by
 * 1e-16 / h, about 1e-10 together; 1e-7 of the largest gradient leaves room. */
#ifndef TH_TESTS_DIFFERENCES_H
#define TH_TESTS_DIFFERENCES_H

#include "base/philox.h"
#include "tests/test.h"
#include "trainer/nn/real.h"

static inline th_real *random_reals(int64_t count, uint64_t stream)
{
    th_real *x = aligned_alloc(64, ((size_t)count * sizeof *x / 64 + 1) * 64);
    th_rng   rng;

    assert_non_null(x);
    th_rng_init(&rng, 7, TH_FOR_TEST, 0, stream);
    for (int64_t i = 0; i < count; i++)
        x[i] = (th_real)th_rng_normal(&rng);
    return x;
}

static inline double dot(const th_real *a, const th_real *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* gradient [count] must be the derivative of objective(context) by x [count]; every `step`th one.
 */
static inline void check_gradient(const char *name, double (*objective)(void *context),
                                  void *context, th_real *x, const th_real *gradient, int64_t count,
                                  int64_t step)
{
    const double h = 1e-5;
    double       most = 1e-2;

    for (int64_t i = 0; i < count; i++)
        most = fabs((double)gradient[i]) > most ? fabs((double)gradient[i]) : most;
    for (int64_t i = 0; i < count; i += step) {
        th_real keep = x[i];
        x[i] = keep + (th_real)h;
        double up = objective(context);
        x[i] = keep - (th_real)h;
        double down = objective(context);
        x[i] = keep;
        if (!(fabs((up - down) / (2 * h) - (double)gradient[i]) <= 1e-7 * most))
            fail_msg("%s[%lld]: gradient %.12g, difference %.12g", name, (long long)i,
                     (double)gradient[i], (up - down) / (2 * h));
    }
}

#endif
