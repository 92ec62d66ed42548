/* tests/mpi/step_case.h - a tiny model and a hand-made global batch, for tests of the whole step.
 *
 * Every rank holds the whole batch and hands its slice to the step. A world of one rank that is not
 * MPI's (`alone`) takes all of it, so each rank can compute the reference by itself: what W ranks
 * find must be what one finds. */
#ifndef TH_TESTS_MPI_STEP_CASE_H
#define TH_TESTS_MPI_STEP_CASE_H

#include "mpi_test.h"

#include "base/philox.h"
#include "base/slice.h"
#include "trainer/step.h"
#include <math.h>
#include <stdlib.h>

#define STEP_ROOM ((size_t)64 << 20) // more than every tape of this model takes

static const th_model_config step_clip = {
    .image = { .size = 8, .patch = 4, .width = 12, .layers = 2, .heads = 2 },
    .text = { .context = 7, .vocabulary = 20, .width = 8, .layers = 3, .heads = 2 },
    .embed = 6,
    .activation = TH_QUICK_GELU,
};
static const th_model_config step_bert = {
    .image = { .size = 8, .patch = 4, .width = 12, .layers = 2, .heads = 2 },
    .text = { .context = 7,
              .vocabulary = 20,
              .width = 8,
              .layers = 3,
              .heads = 2,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_MEAN,
              .types = 2 },
    .embed = 6,
    .activation = TH_QUICK_GELU,
};
static const th_model_config *step_model = &step_clip; // a test may take another

typedef struct {
    int64_t  B, K;
    uint8_t *pixels; // [B, size, size, 3]
    int32_t *tokens;
    int64_t *offsets; // [B * K + 1]
} step_data;

/* The loss of the models and steps that are opened next: softmax without a mask, unless set. */
static struct {
    bool sigmoid, mask;
} step_loss;

static inline void *step_new(int64_t count, size_t size)
{
    void  *memory = NULL;
    th_err err = { 0 };

    th_assert_ok(th_alloc((size_t)count, size, "test", &memory, &err), &err);
    return memory;
}

// A seventh of the captions is EOT alone: duplicates. Captions have 1 to `context` tokens and end
// in EOT. Vocabulary ids 15 to 17 stand in none, so some rows of the token embedding have the
// gradient zero.
static inline step_data step_data_open(int64_t B, int64_t K)
{
    const th_model_config *model = step_model;
    int64_t                bytes = model->image.size * model->image.size * 3;
    step_data              data = { .B = B, .K = K };
    th_rng                 rng;

    th_rng_init(&rng, 11, TH_FOR_TEST, 0, (uint64_t)(100 * B + K));
    data.pixels = step_new(B * bytes, 1);
    for (int64_t i = 0; i < B * bytes; i++)
        data.pixels[i] = (uint8_t)th_rng_below(&rng, 256);
    data.tokens = step_new(B * K * model->text.context, sizeof *data.tokens);
    data.offsets = step_new(B * K + 1, sizeof *data.offsets);
    for (int64_t i = 0; i < B * K; i++) {
        int64_t at = data.offsets[i];
        int64_t count = 1 + (int64_t)th_rng_below(&rng, (uint64_t)model->text.context);
        for (int64_t t = 0; t < count - 1; t++)
            data.tokens[at++] = (int32_t)th_rng_below(&rng, 15);
        data.tokens[at++] = (int32_t)model->text.vocabulary - 1;
        data.offsets[i + 1] = at;
    }
    return data;
}

static inline void step_data_close(step_data *data)
{
    free(data->pixels), free(data->tokens), free(data->offsets);
}

/* This rank's slice, as the loader would hand it over: offsets begin at 0. free(offsets). */
static inline th_batch step_slice(const step_data *data, const th_world *world)
{
    int64_t  first = th_slice_first(data->B, world->size, world->rank), K = data->K;
    int64_t  n = th_slice_count(data->B, world->size, world->rank);
    int64_t  bytes = step_model->image.size * step_model->image.size * 3;
    int64_t *offsets = step_new(n * K + 1, sizeof *offsets);

    for (int64_t i = 0; i <= n * K; i++)
        offsets[i] = data->offsets[first * K + i] - data->offsets[first * K];
    return (th_batch){ .position = first,
                       .n = n,
                       .pixels = data->pixels + first * bytes,
                       .tokens = data->tokens + data->offsets[first * K],
                       .offsets = offsets,
                       .caption_count = n * K };
}

/* Weights at which every term counts: norms and biases are away from one and zero. */
static inline void step_parameters_open(th_parameters *p)
{
    th_err err = { 0 };
    th_rng rng;

    th_model_config model = *step_model;
    model.logit_bias = step_loss.sigmoid;
    th_assert_ok(th_parameters_open(&model, p, &err), &err);
    th_parameters_init(p, 3);
    th_rng_init(&rng, 12, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < p->row_count; i++)
        for (int64_t j = 0; p->rows[i].dimensions == 1 && j < p->rows[i].count; j++)
            th_weight(p, i)[j] += (th_real)(0.2 * th_rng_normal(&rng));
    *th_weight(p, p->logit_scale) = (th_real)1.3;
    if (p->logit_bias >= 0)
        *th_weight(p, p->logit_bias) = (th_real)-1.1;
}

typedef struct {
    int64_t micro;
    size_t  budget;    // 0: room for everything
    float   deviation; // 0: 0.27, or else
} step_how;

/* One whole step on `world`. The gradient stands in p afterwards. */
static inline th_code step_run(th_world *world, th_parameters *p, const step_data *data,
                               step_how how, th_step_result *result, size_t *out_peak, th_err *err)
{
    th_batch batch = step_slice(data, world);
    th_arena arena = { 0 };
    th_step *step = NULL;
    size_t   budget = how.budget ? how.budget : STEP_ROOM;
    float    deviation = how.deviation != 0 ? how.deviation : 0.27f;
    th_code  rc = TH_OK;

    TH_TRY(th_arena_open(&arena, budget, err));
    th_step_options options = { .world = world,
                                .parameters = p,
                                .mean = { 0.48f, 0.46f, 0.41f },
                                .deviation = { deviation, deviation, deviation },
                                .batch = data->B,
                                .captions = data->K,
                                .micro_batch = how.micro,
                                .mask_duplicates = step_loss.mask,
                                .activations = &arena,
                                .activation_bytes = budget };
    TH_TRY(th_step_open(&options, &step, err));
    TH_TRY(th_step_gradient(step, &batch, result, err));
    if (out_peak)
        *out_peak = arena.peak_bytes;
out:
    th_step_close(step);
    th_arena_close(&arena);
    free((void *)batch.offsets);
    return rc;
}

/* The reference: this rank by itself, all samples in one micro-batch. *out: [elements], free(). */
static inline th_step_result step_reference(const step_data *data, th_real **out)
{
    th_world       alone = { .size = 1 };
    th_parameters  p = { 0 };
    th_step_result result;
    th_err         err = { 0 };

    step_parameters_open(&p);
    th_assert_ok(step_run(&alone, &p, data, (step_how){ .micro = data->B }, &result, NULL, &err),
                 &err);
    *out = step_new(p.elements, sizeof **out);
    memcpy(*out, p.gradient, (size_t)p.elements * sizeof **out);
    th_parameters_close(&p);
    return result;
}

/* Fails unless every trainable row's gradient is the wanted one, within `relative` of the largest
 * element of the row. Rows that are frozen must hold what the arena held before: nothing. */
static inline void step_assert_gradient(const th_parameters *p, const th_real *want,
                                        double relative)
{
    for (int i = 0; i < p->row_count; i++) {
        const th_parameter *row = &p->rows[i];
        double              largest = 0;
        for (int64_t j = 0; j < row->count; j++)
            largest = fmax(largest, fabs((double)want[row->offset + j]));
        for (int64_t j = 0; j < row->count; j++) {
            double got = (double)th_gradient(p, i)[j], wanted = (double)want[row->offset + j];
            if (!row->trainable)
                wanted = 0;
            if (!(fabs(got - wanted) <= relative * largest))
                fail_msg("%s[%lld]: got %.17g, want %.17g, largest %.3g", row->name, (long long)j,
                         got, wanted, largest);
        }
    }
}

#endif
