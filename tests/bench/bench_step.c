/* tests/bench/bench_step.c - seconds of a whole step: features, loss, gradient, all-reduce, update.
 *
 *     bench_step PRESET BATCH TOKENS THREADS [STEPS]        (also under mpirun)
 *
 * BATCH is the global one. Steps alternate with the GEMM floor of this rank's part of the work, on
 * one thread; the first of each is not counted. The ratio is of medians, and of the floor divided
 * by the threads. */
#include "base/memory.h"
#include "tests/bench/gemm_floor.h"
#include "tests/bench/report.h"
#include "tests/bench/work.h"
#include "trainer/step.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_STEPS 1000

// Both towers over this rank's samples, and the loss's four products: S twice, dI, dT.
static th_code floor_of(const th_model_config *model, const th_batch *batch, int64_t B,
                        th_floor **out, th_err *err)
{
    int64_t  n = batch->n, d = model->embed;
    int64_t *lengths = NULL;
    th_code  rc = TH_OK;

    TH_TRY(th_floor_open(out, err));
    TH_TRY(th_alloc((size_t)n, sizeof *lengths, "lengths", (void **)&lengths, err));
    for (int64_t i = 0; i < n; i++)
        lengths[i] = batch->offsets[i + 1] - batch->offsets[i];
    TH_TRY(th_floor_add_tower(*out, model, TH_IMAGE, n, NULL, err));
    TH_TRY(th_floor_add_tower(*out, model, TH_TEXT_TOWER, n, lengths, err));
    TH_TRY(th_floor_add(*out, false, true, n, B, d, 2, err));
    TH_TRY(th_floor_add(*out, false, false, n, d, B, 1, err));
    TH_TRY(th_floor_add(*out, true, false, n, d, B, 1, err));
out:
    free(lengths);
    return rc;
}

static th_code run(th_world *world, char **argv, int steps, th_err *err)
{
    static double   seconds[MOST_STEPS], floors[MOST_STEPS];
    th_floor       *floor = NULL;
    th_model_config model;
    th_parameters   parameters = { 0 };
    th_arena        activations = { 0 };
    th_step        *step = NULL;
    th_step_result  result = { 0 };
    double         *rate = NULL;
    th_batch       *batch = NULL;
    int64_t         B = atoll(argv[2]), tokens = atoll(argv[3]);
    th_adamw        adamw = {
               .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2, .clip_norm = 1.0
    };
    size_t  budget = (size_t)12 << 30;
    th_code rc = TH_OK;

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
    TH_TRY(floor_of(&model, batch, B, &floor, err));
    for (int i = -1; i < steps; i++) {
        TH_TRY(th_world_barrier(world, err));
        double alone = th_floor_seconds(floor);
        if (i >= 0)
            floors[i] = alone;
        TH_TRY(th_world_barrier(world, err));
        double start = th_bench_now();
        TH_TRY(th_step_gradient(step, batch, &result, err));
        th_adamw_update(&parameters, &adamw, rate, result.gradient_norm);
        if (i >= 0)
            seconds[i] = th_bench_now() - start;
    }
    if (world->rank == 0) {
        double median = th_bench_median(seconds, steps), least = th_bench_median(floors, steps);
        double threads = omp_get_max_threads();
        th_report_begin("step");
        th_report_text("model", argv[1]);
        th_report_number("batch", (double)B);
        th_report_number("tokens", (double)tokens);
        th_report_number("ranks", world->size);
        th_report_number("threads", threads);
        th_report_number("seconds", median);
        th_report_number("fastest", seconds[0]);
        th_report_number("samples_per_second", (double)B / median);
        th_report_number("gemm_floor_seconds", least / threads);
        th_report_number("ratio_to_floor", median * threads / least);
        th_report_number("gemm_share", least / threads / median);
        th_report_number("gflops", th_floor_flops(floor) * world->size / median * 1e-9);
        th_report_number("loss", result.loss);
        th_report_end();
    }
out:
    th_floor_close(floor);
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
