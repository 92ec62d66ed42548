/* tests/bench/bench_stages.c - what freezing buys: samples a second of one model in four stages.
 *
 *     bench_stages PRESET BATCH TOKENS FOLDER [STEPS]
 *
 * One thread. In turns within each round: all trains; the image tower is frozen, without a cache;
 * the same with a warm cache; the head and the last two blocks train above a warm cache. The caches
 * lie in FOLDER and are removed. The floor is OpenBLAS's time for the text tower's products alone.
 * The first round is not counted. */
#include "base/memory.h"
#include "tests/bench/gemm_floor.h"
#include "tests/bench/report.h"
#include "tests/bench/work.h"
#include "trainer/step.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_STEPS 100

enum { ALL, FROZEN, CACHED, TOP2_CACHED, STAGES };
static const struct {
    const char *name;
    int         top;   // blocks of the image tower that train, with its head
    bool        image; // all of it does
    bool        cache;
} stages[STAGES] = {
    [ALL] = { .name = "all", .image = true },
    [FROZEN] = { .name = "image frozen" },
    [CACHED] = { .name = "image frozen, cached", .cache = true },
    [TOP2_CACHED] = { .name = "image.top(2), cached", .top = 2, .cache = true },
};

typedef struct {
    th_world        world;
    th_model_config model;
    th_parameters   parameters;
    th_arena        activations;
    double         *rate;
    th_batch       *batch;
    const char     *folder;
    int64_t         B;
} job;

// Which rows train in a stage.
static void freeze(job *j, int stage)
{
    th_parameters *p = &j->parameters;
    char           top[32];

    (void)snprintf(top, sizeof top, "image.top(%d)", stages[stage].top);
    for (int g = 0; g < p->group_count; g++)
        p->groups[g].trainable = false;
    for (int i = 0; i < p->row_count; i++) {
        bool image = p->rows[i].tower == TH_IMAGE;
        p->rows[i].trainable = !image || stages[stage].image ||
                               (stages[stage].top > 0 && th_parameters_match(p, i, top));
        p->groups[p->rows[i].group].trainable |= p->rows[i].trainable;
    }
}

static th_code open_cache(job *j, int stage, th_feature_cache **out, th_err *err)
{
    const th_parameters     *p = &j->parameters;
    th_feature_cache_options options = { .base = j->folder,
                                         .key = (uint64_t)stage + 1,
                                         .about = { .tower = "image", .cut = "bench" },
                                         .buffer_bytes = (size_t)256 << 20,
                                         .writable = true };

    options.about.row_bytes = (uint64_t)th_tower_cut_reals(p, TH_IMAGE, 1) * sizeof(th_real);
    return stages[stage].cache ? th_feature_cache_open(&options, out, err) : TH_OK;
}

// One stage of one round: a step that fills the cache and warms up, then the one that is timed.
static th_code run_stage(job *j, int stage, double *out_seconds, th_err *err)
{
    th_adamw adamw = {
        .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2, .clip_norm = 1.0
    };
    th_feature_cache *cache = NULL;
    th_step          *step = NULL;
    th_step_result    result;
    th_code           rc = TH_OK;

    freeze(j, stage);
    TH_TRY(open_cache(j, stage, &cache, err));
    th_step_options options = { .world = &j->world,
                                .parameters = &j->parameters,
                                .mean = { 0.48f, 0.46f, 0.41f },
                                .deviation = { 0.27f, 0.26f, 0.28f },
                                .batch = j->B,
                                .captions = 1,
                                .activations = &j->activations,
                                .activation_bytes = j->activations.reserved_bytes,
                                .cache = { cache, NULL } };
    TH_TRY(th_step_open(&options, &step, err));
    for (int i = 0; i < 2; i++) {
        double start = th_bench_now();
        TH_TRY(th_step_gradient(step, j->batch, &result, err));
        th_adamw_update(&j->parameters, &adamw, j->rate, result.gradient_norm);
        *out_seconds = th_bench_now() - start;
    }
out:
    th_step_close(step);
    th_feature_cache_close(cache);
    if (stages[stage].cache && rc == TH_OK)
        rc = th_feature_cache_remove(j->folder, (uint64_t)stage + 1, err);
    return rc;
}

static th_code open_job(job *j, char **argv, th_err *err)
{
    th_code rc = TH_OK;

    j->world.size = 1;
    j->B = atoll(argv[2]);
    j->folder = argv[4];
    TH_CHECK(th_work_model(argv[1], &j->model), TH_EUSAGE, "", "unknown preset \"%s\"", argv[1]);
    TH_TRY(th_parameters_open(&j->model, &j->parameters, err));
    th_parameters_init(&j->parameters, 1);
    TH_TRY(th_alloc((size_t)j->parameters.row_count, sizeof *j->rate, "rates", (void **)&j->rate,
                    err));
    for (int i = 0; i < j->parameters.row_count; i++)
        j->rate[i] = 1e-5;
    TH_TRY(th_arena_open(&j->activations, (size_t)12 << 30, err));
    j->batch = th_work_batch(&j->model, j->B, 1, atoll(argv[3]), 0, 1);
    TH_CHECK(j->batch, TH_EIO, "", "no memory for a batch");
out:
    return rc;
}

static th_code text_floor(const job *j, th_floor **out, th_err *err)
{
    int64_t *lengths = NULL;
    th_code  rc = TH_OK;

    TH_TRY(th_floor_open(out, err));
    TH_TRY(th_alloc((size_t)j->B, sizeof *lengths, "lengths", (void **)&lengths, err));
    for (int64_t i = 0; i < j->B; i++)
        lengths[i] = j->batch->offsets[i + 1] - j->batch->offsets[i];
    TH_TRY(th_floor_add_tower(*out, &j->model, TH_TEXT_TOWER, j->B, lengths, err));
out:
    free(lengths);
    return rc;
}

static th_code run(char **argv, int steps, th_err *err)
{
    static double seconds[STAGES][MOST_STEPS], floors[MOST_STEPS];
    job           j = { 0 };
    th_floor     *floor = NULL;
    th_code       rc = TH_OK;

    TH_TRY(open_job(&j, argv, err));
    TH_TRY(text_floor(&j, &floor, err));
    for (int i = -1; i < steps; i++) {
        for (int s = 0; s < STAGES; s++)
            TH_TRY(run_stage(&j, s, &seconds[s][i < 0 ? 0 : i], err));
        floors[i < 0 ? 0 : i] = th_floor_seconds(floor);
    }
    double all = th_bench_median(seconds[ALL], steps), least = th_bench_median(floors, steps);
    for (int s = 0; s < STAGES; s++) {
        double median = s == ALL ? all : th_bench_median(seconds[s], steps);
        th_report_begin("stages");
        th_report_text("model", argv[1]);
        th_report_text("stage", stages[s].name);
        th_report_number("batch", (double)j.B);
        th_report_number("tokens", atof(argv[3]));
        th_report_number("seconds", median);
        th_report_number("samples_per_second", (double)j.B / median);
        th_report_number("times_all_training", all / median);
        th_report_number("ratio_to_text_floor", median / least);
        th_report_end();
    }
out:
    th_floor_close(floor);
    th_arena_close(&j.activations);
    th_parameters_close(&j.parameters);
    free(j.rate);
    if (j.batch)
        th_work_free(j.batch);
    return rc;
}

int main(int argc, char **argv)
{
    th_err err = { 0 };
    int    steps = argc > 5 ? atoi(argv[5]) : 3;

    if (argc < 5 || steps < 1 || steps > MOST_STEPS) {
        (void)fprintf(stderr, "usage: %s PRESET BATCH TOKENS FOLDER [STEPS]\n", argv[0]);
        return 2;
    }
    omp_set_num_threads(1);
    th_code rc = run(argv, steps, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "bench_stages: %s (%s)\n", err.what, err.trail);
    return th_exit_code(rc);
}
