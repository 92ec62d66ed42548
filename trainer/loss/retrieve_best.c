#include "trainer/loss/retrieval.h"

#include "trainer/nn/clones.h"

#include <math.h>
#include <stdbool.h>

TH_CLONES
static th_real similarity(const th_real *a, const th_real *b, int64_t d)
{
    th_real sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++)
        sum += a[j] * b[j];
    return sum;
}

// Of equal ones the first image stays first. NaN is below all numbers.
static bool is_better(th_real a, th_real b)
{
    return a > b || (isnan(b) && !isnan(a));
}

th_code th_retrieve_best(const th_real *query, const th_real *image, int64_t images, int64_t d,
                         int k, int64_t *out_index, th_real *out_similarity, th_err *err)
{
    th_code rc = TH_OK;
    int     found = 0;

    TH_CHECK(k >= 1 && k <= images, TH_EUSAGE, "ask for at least one and at most all images",
             "cannot find the best %d of %lld images", k, (long long)images);
    for (int64_t i = 0; i < images; i++) {
        th_real now = similarity(query, image + i * d, d);
        if (found == k && !is_better(now, out_similarity[k - 1]))
            continue;
        int at = found < k ? found++ : k - 1;
        for (; at > 0 && is_better(now, out_similarity[at - 1]); at--) {
            out_similarity[at] = out_similarity[at - 1];
            out_index[at] = out_index[at - 1];
        }
        out_similarity[at] = now;
        out_index[at] = i;
    }
out:
    return rc;
}
