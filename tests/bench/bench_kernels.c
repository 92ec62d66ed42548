/* tests/bench/bench_kernels.c - forward and backward of a tower beside its GEMM floor.
 *
 *     bench_kernels PRESET image|text BATCH TOKENS THREADS [ROUNDS]
 *
 * Rounds of a pass and of its floor alternate, so that a busy machine slows both; the first of each
 * is not counted. The ratio is of the medians. */
#include "tests/bench/gemm_floor.h"
#include "tests/bench/report.h"
#include "tests/bench/work.h"
#include "trainer/towers/tower.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ROUNDS 100

typedef struct {
    th_parameters  parameters;
    th_image_tower image;
    th_text_tower  text;
    th_captions    captions;
    int64_t       *offsets, *lengths;
    int32_t       *tokens;
    uint8_t       *pixels;
    th_real       *features, *d_features;
    th_arena       arena;
} job;

static th_code job_open(job *j, const th_model_config *model, th_tower tower, int64_t n,
                        int64_t tokens, th_err *err)
{
    size_t  pixel_bytes = (size_t)(n * model->image.size * model->image.size * 3), tape, scratch;
    th_code rc = TH_OK;

    TH_TRY(th_parameters_open(model, &j->parameters, err));
    th_parameters_init(&j->parameters, 1);
    TH_TRY(th_alloc((size_t)n + 1, sizeof *j->offsets, "offsets", (void **)&j->offsets, err));
    TH_TRY(th_alloc((size_t)n, sizeof *j->lengths, "lengths", (void **)&j->lengths, err));
    TH_TRY(th_alloc((size_t)(n * tokens), sizeof *j->tokens, "tokens", (void **)&j->tokens, err));
    TH_TRY(th_alloc(pixel_bytes, 1, "pixels", (void **)&j->pixels, err));
    TH_TRY(th_alloc((size_t)(n * model->embed), sizeof(th_real), "features", (void **)&j->features,
                    err));
    TH_TRY(th_alloc((size_t)(n * model->embed), sizeof(th_real), "features",
                    (void **)&j->d_features, err));
    for (int64_t i = 0; i < n; i++) {
        j->lengths[i] = tokens;
        j->offsets[i + 1] = (i + 1) * tokens;
    }
    for (int64_t i = 0; i < n * tokens; i++)
        j->tokens[i] = (int32_t)(i * 7919 % model->text.vocabulary);
    for (size_t i = 0; i < pixel_bytes; i++)
        j->pixels[i] = (uint8_t)(i * 7919 >> 4);
    for (int64_t i = 0; i < n * model->embed; i++)
        j->d_features[i] = (th_real)(i % 17 - 8) * (th_real)1e-2;
    j->image = (th_image_tower){ &j->parameters, { 0.48f, 0.46f, 0.41f }, { 0.27f, 0.26f, 0.28f } };
    j->text = (th_text_tower){ &j->parameters };
    j->captions = (th_captions){ j->tokens, j->offsets, n };
    if (tower == TH_IMAGE)
        th_image_tower_bytes(&j->image, n, &tape, &scratch);
    else
        th_text_tower_bytes(&j->text, n, n * tokens, &tape, &scratch);
    TH_TRY(th_arena_open(&j->arena, tape + scratch, err));
out:
    return rc;
}

static void job_close(job *j)
{
    th_parameters_close(&j->parameters);
    th_arena_close(&j->arena);
    free(j->offsets), free(j->lengths), free(j->tokens), free(j->pixels);
    free(j->features), free(j->d_features);
}

static th_code pass(job *j, th_tower tower, double *forward, double *whole, th_err *err)
{
    th_code  rc = TH_OK;
    th_tape *tape;
    double   start = th_bench_now();

    if (tower == TH_IMAGE) {
        TH_TRY(th_image_forward(&j->image, j->pixels, j->captions.n, &j->arena, &tape, j->features,
                                err));
        *forward = th_bench_now() - start;
        TH_TRY(th_image_backward(&j->image, tape, j->d_features, false, &j->arena, NULL, err));
    } else {
        TH_TRY(th_text_forward(&j->text, &j->captions, &j->arena, &tape, j->features, err));
        *forward = th_bench_now() - start;
        TH_TRY(th_text_backward(&j->text, tape, j->d_features, false, &j->arena, NULL, err));
    }
    *whole = th_bench_now() - start;
    th_arena_rewind(&j->arena, 0);
out:
    return rc;
}

static th_code run(char **argv, int rounds, th_err *err)
{
    double          forward[MOST_ROUNDS], whole[MOST_ROUNDS], alone[MOST_ROUNDS], first, second;
    th_tower        tower = strcmp(argv[2], "image") == 0 ? TH_IMAGE : TH_TEXT_TOWER;
    int64_t         n = atoll(argv[3]), tokens = atoll(argv[4]);
    th_floor       *floor = NULL;
    job             j = { 0 };
    th_model_config model;
    th_code         rc = TH_OK;

    TH_CHECK(th_work_model(argv[1], &model), TH_EUSAGE, "", "unknown preset \"%s\"", argv[1]);
    TH_CHECK(n > 0 && tokens > 0 && tokens <= model.text.context, TH_EUSAGE, "", "bad sizes");
    TH_TRY(job_open(&j, &model, tower, n, tokens, err));
    TH_TRY(th_floor_open(&floor, err));
    TH_TRY(th_floor_add_tower(floor, &model, tower, n, j.lengths, err));
    TH_TRY(pass(&j, tower, &first, &second, err));
    (void)th_floor_seconds(floor);
    for (int i = 0; i < rounds; i++) {
        TH_TRY(pass(&j, tower, &forward[i], &whole[i], err));
        alone[i] = th_floor_seconds(floor);
    }
    double seconds = th_bench_median(whole, rounds), least = th_bench_median(alone, rounds);
    th_report_begin("kernels");
    th_report_text("model", argv[1]);
    th_report_text("tower", argv[2]);
    th_report_number("batch", (double)n);
    th_report_number("tokens", (double)tokens);
    th_report_number("threads", omp_get_max_threads());
    th_report_number("forward_seconds", th_bench_median(forward, rounds));
    th_report_number("seconds", seconds);
    th_report_number("fastest", whole[0]);
    th_report_number("floor_seconds", least);
    th_report_number("floor_fastest", alone[0]);
    th_report_number("floor_gflops", th_floor_flops(floor) / least * 1e-9);
    th_report_number("ratio", seconds / least);
    th_report_end();
out:
    th_floor_close(floor);
    job_close(&j);
    return rc;
}

int main(int argc, char **argv)
{
    int    rounds = argc > 6 ? atoi(argv[6]) : 5;
    th_err err = { 0 };

    if (argc < 6 || rounds < 1 || rounds > MOST_ROUNDS) {
        (void)fprintf(stderr, "usage: %s PRESET image|text BATCH TOKENS THREADS [ROUNDS]\n",
                      argv[0]);
        return 2;
    }
    omp_set_num_threads(atoi(argv[5]));
    th_code rc = run(argv, rounds, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "bench_kernels: %s\n", err.what);
    return th_exit_code(rc);
}
