#include "trainer/step.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/footprint.h"
#include "trainer/frozen.h"
#include "trainer/loss/contrastive.h"
#include "trainer/loss/duplicates.h"
#include "trainer/nn/normalize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_BYTES                                                                               \
    ((int64_t)8 << 20) // groups are joined up to this; one larger group is a bucket

enum { IMAGE, TEXT };

// Where the passes of one tower stand.
typedef struct {
    th_pass_plan plan;
    th_tape    **tapes; // [plan.count], NULL where not kept
    size_t      *below; // [plan.count] the arena's mark under the tape
} pass_state;

typedef struct {
    int lowest_group; // the bucket is ready when this group, the last of it to come, is done
} bucket_span;

struct th_step {
    th_step_options options;
    th_image_tower  image;
    th_text_tower   text;
    int64_t         first, b; // this rank's rows of the global batch
    bool            trains[2];

    // The loss takes `held` rows, all B (softmax) or this rank's b, which begin at row `own` of
    // them.
    th_loss_kind loss;
    int64_t      held, own;

    th_arena  features;     // the arrays below
    th_real  *unit[2];      // [held, d], [held, K, d] unit features
    uint64_t *key;          // [held, K] of captions, when duplicates are masked
    th_real  *raw;          // [b * K, d] features before normalisation, and gradients behind it
    th_real  *norm[2];      // [b], [b * K]
    th_real  *d_feature[2]; // [b, d], [b * K, d]

    const th_batch *batch;
    pass_state      pass[2];
    int             pass_room; // micro-batches that pass[].tapes hold

    th_buckets  *buckets;
    bucket_span *spans;
    int          bucket_count, next_bucket;
    bool         last_micro; // backward is in the micro-batch after which gradients are final
    th_code      hook_code;  // a hook's failure, reported behind the pass
    th_err       hook_err;
};

static void image_bytes(const void *context, int64_t first, int64_t n, size_t *out_tape,
                        size_t *out_scratch)
{
    const th_step *step = context;

    (void)first;
    th_footprint_pass(step->options.parameters, TH_IMAGE, n, 0, out_tape, out_scratch);
}

static void text_bytes(const void *context, int64_t first, int64_t n, size_t *out_tape,
                       size_t *out_scratch)
{
    const th_step *step = context;
    int64_t        K = step->options.captions;
    const int64_t *offsets = step->batch->offsets;
    int64_t        tokens = offsets[(first + n) * K] - offsets[first * K];

    th_footprint_pass(step->options.parameters, TH_TEXT_TOWER, n * K, tokens, out_tape,
                      out_scratch);
}

// This rank's unit features of a tower, where the loss takes them from.
static th_real *own_unit(const th_step *step, int tower)
{
    int64_t rows = tower == IMAGE ? 1 : step->options.captions;

    return step->unit[tower] + step->own * rows * step->options.parameters->model.embed;
}

// Cuts the trainable groups into contiguous buckets, from the end of the arena, where backward
// starts. The logit scale is left out: its gradient is complete on every rank.
static th_code lay_out_buckets(th_step *step, th_err *err)
{
    const th_parameters *parameters = step->options.parameters;
    th_bucket           *ranges = NULL;
    int                  count = 0;
    bool                 open = false; // the bucket at count - 1 may still grow downward
    th_code              rc = TH_OK;

    TH_TRY(th_alloc((size_t)parameters->group_count, sizeof *ranges, "buckets", (void **)&ranges,
                    err));
    TH_TRY(th_alloc((size_t)parameters->group_count, sizeof *step->spans, "bucket spans",
                    (void **)&step->spans, err));
    for (int g = parameters->group_count - 1; g >= 0; g--) {
        const th_group *group = &parameters->groups[g];
        if (!group->trainable || group->tower == TH_NO_TOWER) {
            open = false;
            continue;
        }
        if (open && ranges[count - 1].count * (int64_t)sizeof(th_real) < BUCKET_BYTES) {
            ranges[count - 1].first = group->first;
            ranges[count - 1].count += group->count;
        } else {
            ranges[count++] = (th_bucket){ .first = group->first, .count = group->count };
        }
        step->spans[count - 1].lowest_group = g;
        open = true;
    }
    step->bucket_count = count;
    TH_TRY(th_buckets_open(step->options.world, parameters->gradient, TH_REAL_NUMBER, ranges, count,
                           &step->buckets, err));
out:
    free(ranges);
    return rc;
}

// Everything about the loss but its numbers.
static th_contrastive_input loss_input(const th_parameters *parameters, int64_t batch,
                                       int64_t captions, bool mask_duplicates)
{
    return (th_contrastive_input){ .kind = parameters->model.logit_bias ? TH_SIGMOID_LOSS
                                                                        : TH_SOFTMAX_LOSS,
                                   .B = batch,
                                   .d = parameters->model.embed,
                                   .K = captions,
                                   .backward = true,
                                   .mask_duplicates = mask_duplicates };
}

static th_contrastive_input loss_of(const th_step_options *options)
{
    return loss_input(options->parameters, options->batch, options->captions,
                      options->mask_duplicates);
}

size_t th_step_feature_bytes(const th_parameters *parameters, const th_world *world, int64_t batch,
                             int64_t captions, bool mask_duplicates)
{
    th_contrastive_input loss = loss_input(parameters, batch, captions, mask_duplicates);
    size_t               real = sizeof(th_real);
    int64_t K = captions, b = th_slice_count(batch, world->size, 0); // the longest slice
    int64_t held = loss.kind == TH_SOFTMAX_LOSS ? batch : b;
    int64_t rows = held * (1 + K) + b * (1 + 2 * K);

    return (size_t)rows * (size_t)loss.d * real + (size_t)(b * (1 + K)) * real +
           (mask_duplicates ? (size_t)(held * K) * sizeof(uint64_t) : 0) +
           th_contrastive_bytes(world, &loss) + (size_t)16 * 64;
}

static th_code lay_out_features(th_step *step, th_err *err)
{
    const th_step_options *options = &step->options;
    size_t                 real = sizeof(th_real);
    size_t    d = (size_t)options->parameters->model.embed, K = (size_t)options->captions;
    size_t    held = (size_t)step->held, b = (size_t)step->b;
    th_arena *arena = &step->features;
    th_code   rc = TH_OK;

    TH_TRY(th_arena_open(arena,
                         th_step_feature_bytes(options->parameters, options->world, options->batch,
                                               options->captions, options->mask_duplicates),
                         err));
    step->unit[IMAGE] = th_arena_take(arena, held * d, real);
    step->unit[TEXT] = th_arena_take(arena, held * K * d, real);
    if (options->mask_duplicates)
        step->key = th_arena_take(arena, held * K, sizeof *step->key);
    step->raw = th_arena_take(arena, b * K * d, real);
    step->norm[IMAGE] = th_arena_take(arena, b, real);
    step->norm[TEXT] = th_arena_take(arena, b * K, real);
    step->d_feature[IMAGE] = th_arena_take(arena, b * d, real);
    step->d_feature[TEXT] = th_arena_take(arena, b * K * d, real);
    TH_CHECK(step->d_feature[TEXT], TH_EIO, "lower batch",
             "could not lay out features of %zu samples", held);
out:
    return rc;
}

th_code th_step_open(const th_step_options *options, th_step **out, th_err *err)
{
    th_step *step = NULL;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *step, "step", (void **)&step, err));
    step->options = *options;
    step->image.parameters = step->text.parameters = options->parameters;
    memcpy(step->image.mean, options->mean, sizeof options->mean);
    memcpy(step->image.deviation, options->deviation, sizeof options->deviation);
    step->first = th_slice_first(options->batch, options->world->size, options->world->rank);
    step->b = th_slice_count(options->batch, options->world->size, options->world->rank);
    step->loss = loss_of(options).kind;
    step->held = step->loss == TH_SOFTMAX_LOSS ? options->batch : step->b;
    step->own = step->loss == TH_SOFTMAX_LOSS ? step->first : 0;
    step->trains[IMAGE] = th_parameters_tower_trains(options->parameters, TH_IMAGE);
    step->trains[TEXT] = th_parameters_tower_trains(options->parameters, TH_TEXT_TOWER);
    TH_TRY(lay_out_features(step, err));
    TH_TRY(lay_out_buckets(step, err));
    *out = step;
out:
    if (rc != TH_OK)
        th_step_close(step);
    return rc;
}

void th_step_close(th_step *step)
{
    if (!step)
        return;
    th_buckets_close(step->buckets);
    th_arena_close(&step->features);
    for (int t = 0; t < 2; t++) {
        free(step->pass[t].tapes);
        free(step->pass[t].below);
    }
    free(step->spans);
    free(step);
}

static th_code plan(th_step *step, th_err *err)
{
    th_pass_plan plans[2];
    th_pass_cost cost[2] = { { image_bytes, step, step->trains[IMAGE] },
                             { text_bytes, step, step->trains[TEXT] } };
    th_code      rc = TH_OK;

    TH_TRY(th_plan_passes(cost, step->b, step->options.micro_batch, step->options.activation_bytes,
                          plans, err));
    if (plans[0].count > step->pass_room) {
        for (int t = 0; t < 2; t++) {
            free(step->pass[t].tapes);
            free(step->pass[t].below);
            step->pass[t] = (pass_state){ 0 };
            step->pass_room = 0;
            TH_TRY(th_alloc((size_t)plans[0].count, sizeof(th_tape *), "tapes",
                            (void **)&step->pass[t].tapes, err));
            TH_TRY(th_alloc((size_t)plans[0].count, sizeof(size_t), "tape marks",
                            (void **)&step->pass[t].below, err));
        }
        step->pass_room = (int)plans[0].count;
    }
    for (int t = 0; t < 2; t++) {
        step->pass[t].plan = plans[t];
        for (int64_t i = 0; i < plans[t].count; i++)
            step->pass[t].tapes[i] = NULL;
    }
out:
    return rc;
}

// Samples [*first, *first + returned) of the rank batch are micro-batch i.
static int64_t micro_samples(const th_step *step, int64_t i, int64_t *first)
{
    int64_t m = step->pass[IMAGE].plan.micro;

    *first = i * m;
    return *first + m < step->b ? m : step->b - *first;
}

static th_code forward_micro(th_step *step, int tower, int64_t i, th_tape **tape, th_real *features,
                             th_err *err)
{
    int64_t K = step->options.captions, first, n = micro_samples(step, i, &first);

    const th_batch *batch = step->batch;
    if (tower == IMAGE)
        return th_frozen_image_forward(step->options.cache[IMAGE], &step->image, batch, first, n,
                                       step->options.activations, tape, features, err);
    th_captions captions = { .tokens = batch->tokens,
                             .offsets = batch->offsets + first * K,
                             .n = n * K };
    return th_frozen_text_forward(step->options.cache[TEXT], &step->text, &captions,
                                  step->options.activations, tape, features, err);
}

// All micro-batches of a tower forward; raw features stand in `raw`, unit ones at `unit`.
static th_code forward(th_step *step, int tower, th_real *raw, th_real *unit, th_gather *behind,
                       th_err *err)
{
    pass_state *pass = &step->pass[tower];
    int64_t     d = step->options.parameters->model.embed;
    int64_t     rows = tower == IMAGE ? 1 : step->options.captions;
    th_code     rc = TH_OK;

    for (int64_t i = 0; i < pass->plan.count; i++) {
        bool    kept = i >= pass->plan.count - pass->plan.keep;
        int64_t first;
        (void)micro_samples(step, i, &first);
        pass->below[i] = step->options.activations->used_bytes;
        TH_TRY(forward_micro(step, tower, i, kept ? &pass->tapes[i] : NULL, raw + first * rows * d,
                             err));
        TH_TRY(th_gather_drive(behind, err));
    }
    th_normalize_rows(raw, step->b * rows, d, unit, step->norm[tower]);
out:
    return rc;
}

static void start_ready_buckets(void *context, int group)
{
    th_step *step = context;

    if (!step->last_micro || step->hook_code != TH_OK)
        return;
    // Buckets end where a group is the lowest of them; the next one to start waits for its lowest.
    while (step->next_bucket < step->bucket_count &&
           step->spans[step->next_bucket].lowest_group >= group && step->hook_code == TH_OK)
        step->hook_code = th_buckets_start(step->buckets, step->next_bucket++, &step->hook_err);
}

static void drive_buckets(void *context)
{
    th_step *step = context;

    if (step->hook_code == TH_OK)
        step->hook_code = th_buckets_drive(step->buckets, &step->hook_err);
}

// Backward of a tower, from its last micro-batch to its first. Tapes that were not kept are made
// again; they lie above the kept ones, which are used up first, so the arena stays a stack.
static th_code backward(th_step *step, int tower, th_err *err)
{
    pass_state       *pass = &step->pass[tower];
    int64_t           d = step->options.parameters->model.embed;
    int64_t           rows = tower == IMAGE ? 1 : step->options.captions;
    th_backward_hooks hooks = { start_ready_buckets, drive_buckets, step };
    th_code           rc = TH_OK;

    th_normalize_rows_backward(own_unit(step, tower), step->norm[tower], step->d_feature[tower],
                               step->b * rows, d, step->d_feature[tower]);
    for (int64_t i = pass->plan.count - 1; i >= 0; i--) {
        int64_t  first;
        th_tape *tape = pass->tapes[i];
        bool     add = i < pass->plan.count - 1;
        size_t   mark = tape ? pass->below[i] : step->options.activations->used_bytes;

        (void)micro_samples(step, i, &first);
        if (!tape) // its features come out again; `raw` is free for them now
            TH_TRY(forward_micro(step, tower, i, &tape, step->raw + first * rows * d, err));
        step->last_micro = i == 0;
        const th_real *d_features = step->d_feature[tower] + first * rows * d;
        if (tower == IMAGE)
            TH_TRY(th_image_backward(&step->image, tape, d_features, add, step->options.activations,
                                     &hooks, err));
        else
            TH_TRY(th_text_backward(&step->text, tape, d_features, add, step->options.activations,
                                    &hooks, err));
        th_arena_rewind(step->options.activations, mark);
        if (step->hook_code != TH_OK) {
            *err = step->hook_err;
            return step->hook_code;
        }
    }
out:
    return rc;
}

// A rank without samples (more ranks than samples) has the gradient zero.
static void clear_gradient(th_step *step)
{
    const th_parameters *parameters = step->options.parameters;

    for (int i = 0; i < parameters->row_count; i++)
        if (parameters->rows[i].trainable)
            memset(th_gradient(parameters, i), 0,
                   (size_t)parameters->rows[i].count * sizeof(th_real));
}

// Rows of all ranks, for a loss that takes them; `own` stands in its place among `all`.
static th_code gather_rows(th_step *step, const void *own, size_t row_bytes, void *all,
                           th_gather **out, th_err *err)
{
    if (step->loss == TH_SIGMOID_LOSS)
        return TH_OK;
    return th_gather_start(step->options.world, own, step->options.batch, row_bytes, all, out, err);
}

static void find_keys(const th_step *step, uint64_t *own)
{
    const th_batch *batch = step->batch;
    const int64_t  *offsets = batch->offsets;

    for (int64_t i = 0; i < step->b * step->options.captions; i++)
        own[i] = th_caption_key(batch->tokens + offsets[i], offsets[i + 1] - offsets[i]);
}

static th_code features_of_all(th_step *step, th_gather *gathers[3], th_err *err)
{
    int64_t   d = step->options.parameters->model.embed, K = step->options.captions;
    th_real  *image = own_unit(step, IMAGE), *text = own_unit(step, TEXT);
    uint64_t *key = step->key ? step->key + step->own * K : NULL;
    th_code   rc = TH_OK;

    // The plan depends on the captions of this rank: one may not fit where the others do.
    TH_TRY(th_agree(step->options.world, plan(step, err), err));
    if (key) {
        find_keys(step, key);
        TH_TRY(gather_rows(step, key, (size_t)K * sizeof *key, step->key, &gathers[2], err));
    }
    TH_TRY(forward(step, IMAGE, step->raw, image, NULL, err));
    TH_TRY(gather_rows(step, image, (size_t)d * sizeof *image, step->unit[IMAGE], &gathers[IMAGE],
                       err));
    TH_TRY(forward(step, TEXT, step->raw, text, gathers[IMAGE], err));
    TH_TRY(gather_rows(step, text, (size_t)(K * d) * sizeof *text, step->unit[TEXT], &gathers[TEXT],
                       err));
out:
    return rc;
}

// The features' gradients, of the towers that train (of one at least, for the logit scale's).
static th_code find_loss(th_step *step, th_contrastive_output *out, th_err *err)
{
    const th_parameters *parameters = step->options.parameters;
    th_contrastive_input input = loss_of(&step->options);
    size_t               mark = step->features.used_bytes;
    th_code              rc = TH_OK;

    input.image = step->unit[IMAGE];
    input.text = step->unit[TEXT];
    input.key = step->key;
    input.logit_scale = *th_weight(parameters, parameters->logit_scale);
    if (parameters->logit_bias >= 0)
        input.logit_bias = *th_weight(parameters, parameters->logit_bias);
    if (step->trains[IMAGE] || !step->trains[TEXT])
        out->d_image = step->d_feature[IMAGE];
    if (step->trains[TEXT])
        out->d_text = step->d_feature[TEXT];
    rc = th_contrastive(step->options.world, &input, &step->features, out, err);
    th_arena_rewind(&step->features, mark);
    return rc;
}

// The logits' gradients are complete on every rank.
static void keep_logit_gradients(th_parameters *parameters, const th_contrastive_output *loss)
{
    if (parameters->rows[parameters->logit_scale].trainable)
        *th_gradient(parameters, parameters->logit_scale) = (th_real)loss->d_logit_scale;
    if (parameters->logit_bias >= 0 && parameters->rows[parameters->logit_bias].trainable)
        *th_gradient(parameters, parameters->logit_bias) = (th_real)loss->d_logit_bias;
}

static th_code differentiate(th_step *step, th_err *err)
{
    th_code rc = TH_OK;

    step->next_bucket = 0;
    if (step->b == 0)
        clear_gradient(step);
    for (int tower = TEXT; tower >= IMAGE; tower--)
        if (step->trains[tower])
            TH_TRY(backward(step, tower, err));
    while (step->next_bucket < step->bucket_count) // of a rank without samples
        TH_TRY(th_buckets_start(step->buckets, step->next_bucket++, err));
    TH_TRY(th_buckets_finish(step->buckets, err));
out:
    return rc;
}

th_code th_step_gradient(th_step *step, const th_batch *batch, th_step_result *out, th_err *err)
{
    th_parameters        *parameters = step->options.parameters;
    th_gather            *gathers[3] = { 0 };
    th_contrastive_output loss = { 0 };
    th_step_result        result = { .gradient_norm = NAN, .gradient = { { NAN, NAN, NAN } } };
    th_err                later;
    th_code               rc = TH_OK;

    step->batch = batch;
    step->hook_code = TH_OK;
    th_arena_rewind(step->options.activations, 0);
    rc = features_of_all(step, gathers, err);
    for (int i = 0; i < 3; i++) {
        th_code finished = th_gather_finish(gathers[i], rc == TH_OK ? err : &later);
        rc = rc == TH_OK ? finished : rc;
    }
    TH_TRY(rc);

    TH_TRY(find_loss(step, &loss, err));
    result.loss = loss.loss;
    if (isfinite(loss.loss)) {
        TH_TRY(differentiate(step, err));
        keep_logit_gradients(parameters, &loss);
        result.gradient = th_squares_of(parameters, parameters->gradient, true);
        result.gradient_norm = th_squares_norm(&result.gradient);
    }
    result.finite = isfinite(result.loss) && isfinite(result.gradient_norm);
    *out = result;
out:
    return rc;
}
