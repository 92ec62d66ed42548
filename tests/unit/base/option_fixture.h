/* tests/unit/base/option_fixture.h - two tables with every kind of option, and the structs they
 * fill. */
#ifndef TH_TESTS_OPTION_FIXTURE_H
#define TH_TESTS_OPTION_FIXTURE_H

#include "base/option.h"
#include "tests/test.h"

typedef struct {
    int64_t     batch, threads, lower;
    double      lr, eps;
    bool        resume;
    const char *shape, *path, *run;
    th_span     every;
    th_bytes    budget;
    th_pair     betas;
    th_map      rates;
} options;

#define OPT(label, field, ...) TH_OPTION(options, label, field, .help = "help", __VA_ARGS__)
static const th_option table[] = {
    OPT("batch", batch, .fallback = "256", .unit = "samples", .min = 2, .max = 1 << 20),
    OPT("checkpoint.every", every, .fallback = "30 min", .min = 0, .max = 1e9),
    OPT("lr.*", rates, .min = 0, .max = 1),
    OPT("lr.shape", shape, .fallback = "cosine", .choices = "constant cosine"),
    OPT("memory_budget", budget, .fallback = "8 GiB", .min = 0, .max = 1e15),
    OPT("optimizer.betas", betas, .fallback = "[0.9, 0.98]", .min = 0, .max = 1),
    OPT("optimizer.lr", lr, .fallback = "5e-4", .min = 0, .max = 1),
    OPT("path", path),
    OPT("resume", resume, .fallback = "yes"),
    OPT("run", run, .required = true),
    OPT("threads", threads, .fallback = "1", .when = TH_PER_START),
};
static const th_option more[] = {
    OPT("lower", lower),
    OPT("optimizer.eps", eps, .fallback = "1e-6"),
};
enum { ROWS = sizeof table / sizeof *table, MORE = sizeof more / sizeof *more };

struct fixture {
    options       values, others;
    th_option_set sets[2];
    th_arena      pool;
    th_err        err;
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    *state = f;
    f->sets[0] = (th_option_set){ table, ROWS, &f->values };
    f->sets[1] = (th_option_set){ more, MORE, &f->others };
    return th_arena_open(&f->pool, 1 << 16, &f->err) != TH_OK ||
           th_options_default(f->sets, 2, &f->pool, &f->err) != TH_OK;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    th_arena_close(&f->pool);
    free(f);
    return 0;
}

static th_code put(struct fixture *f, const char *name, const char *text)
{
    return th_option_set_value(f->sets, 2, name, text, &f->pool, &f->err);
}

#endif
