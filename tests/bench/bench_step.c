/* tests/bench/bench_step.c - seconds of a whole step: features, loss, gradient, all-reduce, update.
 *
 *     bench_step PRESET BATCH TOKENS THREADS [STEPS]        (also under mpirun)
 *
 * BATCH is the global one. The first step is not counted. */
#include "base/memory.h"
#include "tests/bench/report.h"
#include "tests/bench/work.h"
#include "trainer/step.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_STEPS 1000

static th_code run(th_world *world, char **argv, int steps, th_err *err)
{
    static double   seconds[MOST_STEPS];
    th_model_config model;
    th_parameters   parameters = { 0 };
    th_arena        activations = { 0 };
    th_step        *step = NULL;
    th_step_result  result = { 0 };
    double         *rate = NULL;
    th_batch       *batch = NULL;
    int64_t         B = atoll(argv[2]), tokens = atoll(argv[3]);
    th_adamw        adamw = { 0.9, 0.98, 1e-6, 0.2, 1.0 };
    size_t          budget = (size_t)12 << 30;
    th_code         rc = TH_OK;

    TH_CHECK(th_work_model(argv[1], &model), TH_EUSAGE, "", "unknown preset \"%s\"", argv[1]);
    TH_TRY(th_parameters_open(&model, &parameters, err));
    th_parameters_init(&parameters, 1);
    TH_TRY(th_alloc((size_t)parameters.row_count, sizeof *rate, "rates", (void **)&rate, err));
    for (int i = 0; i < parameters.row_count; i++)
        rate[i] = 1e-5;
    TH_TRY(th_arena_open(&activations, budget, err));
    th_step_options options = { .world = world,
                                .parameters = &parameters,
                                .mean = { 0.48f, 0.46f, 0.41f },
                                .deviation = { 0.27f, 0.26f, 0.28f },
                                .batch = B,
                                .captions = 1,
                                .activations = &activations,
                                .activation_bytes = budget };
    TH_TRY(th_step_open(&options, &step, err));
    batch = th_work_batch(&model, B, 1, tokens, world->rank, world->size);
    TH_CHECK(batch, TH_EIO, "", "no memory for a batch");
    for (int i = -1; i < steps; i++) {
        TH_TRY(th_world_barrier(world, err));
        double start = th_bench_now();
        TH_TRY(th_step_gradient(step, batch, &result, err));
        th_adamw_update(&parameters, &adamw, rate, result.gradient_norm);
        if (i >= 0)
            seconds[i] = th_bench_now() - start;
    }
    if (world->rank == 0) {
        double median = th_bench_median(seconds, steps);
        th_report_begin("step");
        th_report_text("model", argv[1]);
        th_report_number("batch", (double)B);
        th_report_number("tokens", (double)tokens);
        th_report_number("ranks", world->size);
        th_report_number("threads", omp_get_max_threads());
        th_report_number("seconds", median);
        th_report_number("fastest", seconds[0]);
        th_report_number("samples_per_second", (double)B / median);
        th_report_number("loss", result.loss);
        th_report_end();
    }
out:
    th_step_close(step);
    th_arena_close(&activations);
    th_parameters_close(&parameters);
    free(rate);
    if (batch)
        th_work_free(batch);
    return rc;
}

int main(int argc, char **argv)
{
    th_world world = { 0 };
    th_err   err = { 0 };
    int      steps = argc > 5 ? atoi(argv[5]) : 3;

    if (argc < 5 || steps < 1 || steps > MOST_STEPS) {
        (void)fprintf(stderr, "usage: %s PRESET BATCH TOKENS THREADS [STEPS]\n", argv[0]);
        return 2;
    }
    omp_set_num_threads(atoi(argv[4]));
    th_code rc = th_world_open(&argc, &argv, &world, &err);
    if (rc == TH_OK)
        rc = run(&world, argv, steps, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "bench_step: %s (%s)\n", err.what, err.trail);
    th_world_close(&world);
    return th_exit_code(rc);
}
