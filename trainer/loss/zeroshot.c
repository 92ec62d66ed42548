#include "trainer/loss/zeroshot.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void th_zeroshot_classes(const th_real *prompt, const int64_t *first, int64_t classes, int64_t d,
                         th_real *out_class)
{
    for (int64_t c = 0; c < classes; c++) {
        th_real *feature = out_class + c * d;
        double   square = 0;

        for (int64_t j = 0; j < d; j++) {
            double sum = 0; // the mean but for a factor, which the length takes away
            for (int64_t p = first[c]; p < first[c + 1]; p++)
                sum += (double)prompt[p * d + j];
            feature[j] = (th_real)sum;
            square += sum * sum;
        }
        double length = sqrt(square);
        for (int64_t j = 0; j < d; j++)
            feature[j] = (th_real)((double)feature[j] / (length > 1e-12 ? length : 1e-12));
    }
}

static double dot(const th_real *a, const th_real *b, int64_t d)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

// Place of class `right` for a picture, 1 is best.
static int64_t place(const th_real *image, int32_t right, const th_real *class_, int64_t classes,
                     int64_t d)
{
    double  own = dot(image, class_ + right * d, d);
    int64_t above = 0, equal = 0;

    for (int64_t c = 0; c < classes; c++) {
        if (c == right)
            continue;
        double other = dot(image, class_ + c * d, d);
        if (other == own)
            equal++;
        else if (!(other < own)) // a NaN, too
            above++;
    }
    return 1 + above + (equal + 1) / 2;
}

static th_zeroshot summarise(const th_zeroshot_count *count, int64_t classes)
{
    th_zeroshot sum = { 0 };
    int64_t     top1 = 0, top5 = 0, seen = 0;

    for (int64_t c = 0; c < classes; c++) {
        sum.pictures += count[c].pictures;
        top1 += count[c].top1;
        top5 += count[c].top5;
        if (count[c].pictures == 0)
            continue;
        seen++;
        sum.mean_recall += (double)count[c].top1 / (double)count[c].pictures;
    }
    sum.top1 = (double)top1 / (double)sum.pictures;
    sum.top5 = (double)top5 / (double)sum.pictures;
    sum.mean_recall /= (double)seen;
    return sum;
}

th_code th_zeroshot_place(const th_real *image, const int32_t *label, int64_t pictures,
                          const th_real *class_, int64_t classes, int64_t d,
                          th_zeroshot_count *out_count, th_zeroshot *out, th_err *err)
{
    int64_t *rank = NULL, labelled = 0;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc((size_t)pictures, sizeof *rank, "places of pictures", (void **)&rank, err));
#pragma omp parallel for schedule(static) reduction(+ : labelled)
    for (int64_t i = 0; i < pictures; i++) {
        if (label[i] < 0)
            continue;
        rank[i] = place(image + i * d, label[i], class_, classes, d);
        labelled++;
    }
    TH_CHECK(labelled > 0, TH_EDATA,
             "name classes in a file (--labels), or by captions that are a name or prompt of one",
             "none of %lld pictures belongs to one of the %lld classes", (long long)pictures,
             (long long)classes);
    memset(out_count, 0, (size_t)classes * sizeof *out_count);
    for (int64_t i = 0; i < pictures; i++) {
        if (label[i] < 0)
            continue;
        out_count[label[i]].pictures++;
        out_count[label[i]].top1 += rank[i] <= 1;
        out_count[label[i]].top5 += rank[i] <= 5;
    }
    *out = summarise(out_count, classes);
out:
    free(rank);
    return rc;
}
