#include "trainer/optim/rate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double th_rate_at(const th_rate *rate, int64_t step)
{
    int64_t last = rate->total > 0 ? rate->total - 1 : 0;
    double  span = (double)(rate->total - rate->warmup), gone;

    if (step > last)
        step = last;
    if (step < rate->warmup)
        return rate->peak * (double)(step + 1) / (double)rate->warmup;
    gone = span > 0 ? (double)(step - rate->warmup) / span : 0; // open_clip's e / es: below 1
    switch (rate->shape) {
    case TH_RATE_CONSTANT:
        return rate->peak;
    case TH_RATE_COSINE:
        return rate->floor + (rate->peak - rate->floor) * 0.5 * (1 + cos(M_PI * gone));
    case TH_RATE_LINEAR:
        return rate->floor + (rate->peak - rate->floor) * (1 - gone);
    }
    return rate->peak;
}

// "did you mean" among the groups and the words that th_parameters_match knows. The names stand in
// an option table, because base/option.h has the edit distance. Without memory there is no hint.
static const char *nearest(const th_parameters *parameters, const char *pattern)
{
    static const char *const words[] = { "all", "image", "text", "heads" };
    const size_t             word_count = sizeof words / sizeof *words;
    size_t                   count = word_count + (size_t)parameters->group_count;
    void                    *memory = NULL;

    if (th_alloc(count, sizeof(th_option), "names of groups", &memory, NULL) != TH_OK)
        return NULL;
    th_option *rows = memory;
    for (size_t i = 0; i < word_count; i++)
        rows[i].name = words[i];
    for (int i = 0; i < parameters->group_count; i++)
        rows[word_count + (size_t)i].name = parameters->groups[i].name;
    const char *name =
        th_option_nearest(&(th_option_set){ .rows = rows, .count = (int)count }, 1, pattern);
    free(memory);
    return name; // the name is the table's or a literal, so it outlives the rows
}

static th_code apply(const th_parameters *parameters, const struct th_map_row *pattern, double peak,
                     double *factor, th_err *err)
{
    th_code rc = TH_OK;
    int     selected = 0;
    double  value = pattern->factor ? pattern->amount : pattern->amount / peak;

    TH_CHECK(pattern->amount >= 0 && isfinite(pattern->amount), TH_EUSAGE,
             "give a rate such as 1e-5, or a factor such as 16x",
             "cannot use learning rate %g for \"%s\": it must be finite and not negative",
             pattern->amount, pattern->key);
    TH_CHECK(pattern->factor || peak > 0, TH_EUSAGE,
             "give a factor such as 0.1x, or a peak rate over 0",
             "cannot use learning rate %g for \"%s\": the peak rate is %g", pattern->amount,
             pattern->key, peak);
    for (int row = 0; row < parameters->row_count; row++) {
        if (!th_parameters_match(parameters, row, pattern->key))
            continue;
        factor[row] = value;
        selected++;
    }
    if (selected == 0) {
        const char *name = nearest(parameters, pattern->key);
        TH_FAIL(TH_EUSAGE, "`thaw plan` lists groups and parameters",
                "cannot find a parameter for the learning rate of \"%s\"%s%s%s", pattern->key,
                name ? ": did you mean \"" : "", name ? name : "", name ? "\"?" : "");
    }
out:
    return rc;
}

th_code th_rate_factors(const th_parameters *parameters, const th_map *patterns, double peak,
                        double *factor, th_err *err)
{
    th_code rc = TH_OK;

    for (int row = 0; row < parameters->row_count; row++)
        factor[row] = 1;
    for (int i = 0; i < patterns->count; i++)
        TH_TRY(apply(parameters, &patterns->rows[i], peak, factor, err));
out:
    return rc;
}
