/* tests/bench/bench_loss.c - a loss beside its matrix products.
 *
 *     bench_loss B d threads [softmax | sigmoid] [masked]      prints one JSON line; one rank
 *
 * seconds: loss and gradients. floor_seconds: what OpenBLAS alone needs for S, S again (softmax),
 * G T and G^T I, in blocks of 768 rows spread over the same threads, measured in turns with the
 * loss. Both are medians; the smallest of both stand beside, which other work on the machine
 * disturbs less. masked: a tenth of the captions are duplicates, and they are left out.
 * extra_bytes: what the process grew by during the first call, beyond features and gradients;
 * planned_bytes: what the loss asked the arena for. */
#include "base/philox.h"
#include "report.h"
#include "trainer/loss/contrastive.h"
#include "trainer/nn/gemm.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BLOCK   ((int64_t)768)
#define REPEATS 5

static size_t peak_bytes(void)
{
    struct rusage usage = { 0 };

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

static int64_t shorter(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int products_of(const th_contrastive_input *in)
{
    return in->kind == TH_SOFTMAX_LOSS ? 4 : 3;
}

// The products and nothing else. The block of G is whatever the product of S left there.
static double products_seconds(const th_contrastive_input *in, th_real *d_image, th_real *tiles,
                               th_real *sums)
{
    int64_t B = in->B, d = in->d;
    double  start = th_bench_now();

#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < B; i += BLOCK) {
        th_real       *tile = tiles + (int64_t)omp_get_thread_num() * BLOCK * BLOCK;
        th_real       *sum = sums + (int64_t)omp_get_thread_num() * BLOCK * d;
        const th_real *image = in->image + i * d;
        int64_t        m = shorter(BLOCK, B - i);
        for (int64_t j = 0; j < B; j += BLOCK) {
            const th_real *text = in->text + j * d;
            int64_t        n = shorter(BLOCK, B - j);
            for (int pass = 2; pass < products_of(in); pass++)
                th_gemm(TH_AS_IS, TH_TRANSPOSED, m, n, d, image, d, text, d, 0, tile, n);
            th_gemm(TH_AS_IS, TH_AS_IS, m, d, n, tile, n, text, d, 1, d_image + i * d, d);
            th_gemm(TH_TRANSPOSED, TH_AS_IS, n, d, m, tile, n, image, d, 1, sum, d);
        }
    }
    return th_bench_now() - start;
}

static th_real *rows(int64_t count, int64_t d, uint64_t stream, th_err *err)
{
    void  *memory = NULL;
    th_rng rng;

    if (th_alloc((size_t)(count * d), sizeof(th_real), "benchmark rows", &memory, err) != TH_OK)
        return NULL;
    th_real *values = memory;
    th_rng_init(&rng, 1, TH_FOR_TEST, 0, stream);
    for (int64_t i = 0; i < count * d; i++)
        values[i] = (th_real)((th_rng_uniform(&rng) - 0.5) * sqrt(12.0 / (double)d));
    return values;
}

static void report(const th_contrastive_input *in, int threads, double *seconds, double *floors,
                   int repeats)
{
    double time = th_bench_median(seconds, repeats), floor = th_bench_median(floors, repeats);
    double work = 2 * products_of(in) * (double)in->B * (double)in->B * (double)in->d;

    th_report_text("loss", in->kind == TH_SOFTMAX_LOSS ? "softmax" : "sigmoid");
    th_report_number("masked", in->mask_duplicates);
    th_report_number("B", (double)in->B);
    th_report_number("d", (double)in->d);
    th_report_number("threads", threads);
    th_report_number("repeats", repeats);
    th_report_number("samples_per_second", (double)in->B / time);
    th_report_number("seconds", time);
    th_report_number("seconds_min", seconds[0]);
    th_report_number("floor_seconds", floor);
    th_report_number("floor_seconds_min", floors[0]);
    th_report_number("floor_gflops", 1e-9 * work / floor);
    th_report_number("ratio", time / floor);
    th_report_number("ratio_of_minima", seconds[0] / floors[0]);
}

// One caption in ten is that of the sample before.
static th_code keys(int64_t B, const uint64_t **out, th_err *err)
{
    void   *memory = NULL;
    th_code rc = th_alloc((size_t)B, sizeof(uint64_t), "keys", &memory, err);

    for (int64_t i = 0; rc == TH_OK && i < B; i++)
        ((uint64_t *)memory)[i] = (uint64_t)(i % 10 == 9 ? i - 1 : i) * 0x9e3779b97f4a7c15u;
    *out = memory;
    return rc;
}

static th_code measure(th_contrastive_input in, int threads, th_err *err)
{
    th_code               rc = TH_OK;
    th_world              world = { .rank = 0, .size = 1 };
    th_arena              arena = { 0 };
    void                 *tiles = NULL, *sums = NULL;
    int64_t               B = in.B, d = in.d;
    th_contrastive_output out = { 0 };
    double                seconds[REPEATS], floors[REPEATS];
    int                   repeats = B > 10000 ? 2 : REPEATS;

    TH_TRY(keys(B, &in.key, err));
    in.image = rows(B, d, 1, err);
    in.text = rows(B, d, 2, err);
    out.d_image = rows(B, d, 3, err);
    out.d_text = rows(B, d, 4, err);
    TH_CHECK(in.image && in.text && out.d_image && out.d_text, TH_EIO, "use a smaller batch",
             "could not allocate the features");
    size_t planned = th_contrastive_bytes(&world, &in), before = peak_bytes(), extra = 0;
    TH_TRY(th_arena_open(&arena, planned, err));
    for (int i = 0; i < repeats; i++) {
        double start = th_bench_now();
        TH_TRY(th_contrastive(&world, &in, &arena, &out, err));
        seconds[i] = th_bench_now() - start;
        if (i == 0) {
            extra = peak_bytes() - before;
            TH_TRY(
                th_alloc((size_t)(threads * BLOCK * BLOCK), sizeof(th_real), "tiles", &tiles, err));
            TH_TRY(th_alloc((size_t)(threads * BLOCK * d), sizeof(th_real), "sums", &sums, err));
        }
        floors[i] = products_seconds(&in, out.d_image, tiles, sums);
    }
    th_report_begin("loss");
    report(&in, threads, seconds, floors, repeats);
    th_report_number("extra_bytes", (double)extra);
    th_report_number("planned_bytes", (double)planned);
    th_report_end();
out:
    th_arena_close(&arena);
    free((void *)(uintptr_t)in.image);
    free((void *)(uintptr_t)in.text);
    free((void *)(uintptr_t)in.key);
    free(out.d_image);
    free(out.d_text);
    free(tiles);
    free(sums);
    return rc;
}

int main(int argc, char **argv)
{
    th_err      err = { 0 };
    long long   B = argc >= 4 ? atoll(argv[1]) : 0, d = argc >= 4 ? atoll(argv[2]) : 0;
    int         threads = argc >= 4 ? atoi(argv[3]) : 0;
    const char *kind = argc >= 5 ? argv[4] : "softmax", *masked = argc == 6 ? argv[5] : "";
    bool        sigmoid = strcmp(kind, "sigmoid") == 0;

    if (B < 1 || B > 1 << 20 || d < 1 || d > 1 << 14 || threads < 1 || threads > 1024 || argc > 6 ||
        (!sigmoid && strcmp(kind, "softmax") != 0) || (*masked && strcmp(masked, "masked") != 0)) {
        (void)fprintf(stderr, "usage: bench_loss B d threads [softmax | sigmoid] [masked]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    th_contrastive_input in = { .kind = sigmoid ? TH_SIGMOID_LOSS : TH_SOFTMAX_LOSS,
                                .B = B,
                                .d = d,
                                .K = 1,
                                .backward = true,
                                .mask_duplicates = *masked,
                                .logit_scale = TH_REAL_C(2.65926),
                                .logit_bias = TH_REAL_C(-10.0) };
    th_code              rc = measure(in, threads, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "bench_loss: error: %s\n", err.what);
    return th_exit_code(rc);
}
