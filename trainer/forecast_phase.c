/* trainer/forecast_phase.c - what a rank needs while one set of rows trains. */
#include "trainer/forecast_private.h"

#include "base/slice.h"
#include "checkpoint/layout.h"
#include "dataloader/feature_cache.h"
#include "dataloader/loader.h"
#include "trainer/coverage.h"
#include "trainer/evaluate.h"
#include "trainer/frozen.h"
#include "trainer/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEVIATIONS    3  // of a batch's tokens above the mean: one batch in 700 has more
#define ROW_MEMORY    48 // bytes at most that a cached row takes in memory
#define WRITER_BYTES  ((size_t)8 << 20) // of HDF5 while a checkpoint is written, as measured
#define CACHE_BUFFERS ((int64_t)2 * (32 << 20)) // of a cache, for rows not yet written

const char *const th_memory_names[TH_MEMORY_KINDS] = {
    [TH_MEMORY_WEIGHTS] = "weights",
    [TH_MEMORY_GRADIENTS] = "gradients",
    [TH_MEMORY_MOMENTS] = "moments",
    [TH_MEMORY_SNAPSHOT] = "checkpoint snapshot",
    [TH_MEMORY_ACTIVATIONS] = "activations",
    [TH_MEMORY_FEATURES] = "features and loss",
    [TH_MEMORY_LOADER] = "loader",
    [TH_MEMORY_CACHE] = "feature cache",
    [TH_MEMORY_COMMUNICATION] = "communication",
    [TH_MEMORY_EVALUATION] = "evaluation",
    [TH_MEMORY_PROGRAM] = "program",
};

// --- passes ---

typedef struct {
    const th_forecast *forecast;
    th_tower           tower;
    int64_t            captions;
} pass_cost;

// Tokens of the largest of many batches of n captions.
static int64_t most_tokens(const th_forecast *f, int64_t n)
{
    double tokens = (double)n * f->tokens + DEVIATIONS * f->tokens_deviation * sqrt((double)n);
    double limit = (double)(n * f->parameters.model.text.context);

    return (int64_t)ceil(fmin(tokens, limit));
}

static void pass_bytes(const void *context, int64_t first, int64_t n, size_t *out_tape,
                       size_t *out_scratch)
{
    const pass_cost *cost = context;
    int64_t          sequences = cost->tower == TH_IMAGE ? n : n * cost->captions;

    (void)first;
    th_footprint_pass(&cost->forecast->parameters, cost->tower, sequences,
                      most_tokens(cost->forecast, sequences), out_tape, out_scratch);
}

static th_code plan(const th_forecast_walk *walk, const th_stage *stage, size_t budget,
                    th_pass_plan out[2], th_err *err)
{
    const th_parameters    *p = &walk->forecast->parameters;
    const th_train_options *o = &stage->options;
    pass_cost               costs[2] = { { walk->forecast, TH_IMAGE, o->captions },
                                         { walk->forecast, TH_TEXT_TOWER, o->captions } };
    th_pass_cost            passes[2];

    for (int t = 0; t < 2; t++)
        passes[t] = (th_pass_cost){ .bytes = pass_bytes,
                                    .context = &costs[t],
                                    .trains = th_parameters_tower_trains(p, costs[t].tower) };
    return th_plan_passes(passes, th_slice_count(o->batch, walk->in->ranks, 0), o->micro_batch,
                          budget, out, err);
}

// --- caches ---

// Which weights are below the cut: the last phase in which one of them trained.
static int64_t version_below(const th_forecast_walk *walk, th_tower tower, int cut)
{
    const th_parameters *p = &walk->forecast->parameters;
    int64_t              version = 0;

    for (int i = 0; i < p->row_count; i++)
        if (p->rows[i].tower == tower && p->groups[p->rows[i].group].depth < cut &&
            walk->trained[i] > version)
            version = walk->trained[i];
    return version;
}

// Multiplications of computing a sample's row, but for a factor: weights below the cut, each used
// once a token. Embeddings are looked up.
static double work_below(const th_forecast_walk *walk, th_tower tower, int cut, int64_t captions)
{
    const th_forecast   *f = walk->forecast;
    const th_parameters *p = &f->parameters;
    double               weights = 0;

    for (int i = 0; i < p->row_count; i++) {
        int depth = p->groups[p->rows[i].group].depth;
        if (p->rows[i].tower == tower && depth > 0 && depth < cut)
            weights += (double)p->rows[i].count;
    }
    return weights * (tower == TH_IMAGE ? (double)th_patch_count(&p->model.image) + 1
                                        : f->tokens * (double)captions);
}

// The cache of that frozen part, which an earlier phase may have begun.
static th_code find_cache(th_forecast_walk *walk, const th_forecast_cache *wanted, int *out,
                          th_err *err)
{
    th_forecast *f = walk->forecast;
    th_code      rc = TH_OK;

    for (*out = 0; *out < f->cache_count; ++*out) {
        const th_forecast_cache *c = &f->caches[*out];
        if (c->tower == wanted->tower && c->cut == wanted->cut && c->version == wanted->version)
            return TH_OK;
    }
    void *grown = realloc(f->caches, (size_t)(f->cache_count + 1) * sizeof *f->caches);
    TH_CHECK(grown, TH_EIO, "free some memory", "could not plan a cache: out of memory");
    f->caches = grown;
    f->caches[f->cache_count++] = *wanted;
out:
    return rc;
}

static th_code plan_cache(th_forecast_walk *walk, const th_stage *stage, th_tower tower,
                          int64_t position, int64_t earlier, int64_t samples, th_phase_cache *out,
                          th_err *err)
{
    th_forecast            *f = walk->forecast;
    const th_train_options *o = &stage->options;
    const th_pack_info     *info = th_pack_describe(walk->in->train);
    double                  each = (double)info->captions / (double)info->records;
    double                  drawn = fmin((double)o->captions, each);
    th_frozen_cache_options options = { .parameters = &f->parameters,
                                        .tower = tower,
                                        .pack = walk->in->train,
                                        .budget_bytes = o->cache_budget.count,
                                        .random_crop = strcmp(o->augment, "crop") == 0,
                                        .views = o->views };
    bool                    image = tower == TH_IMAGE;
    // Of a record's views an epoch draws one, of its captions so many.
    double  again = !image ? 1 - drawn / each : options.random_crop ? 1 - 1 / (double)o->views : 0;
    int64_t row = th_frozen_cache_row_bytes(&options);
    int     cut = th_tower_cut(&f->parameters, tower);
    th_forecast_cache wanted = { .tower = tower,
                                 .cut = cut,
                                 .version = version_below(walk, tower, cut),
                                 .row_bytes = row + TH_FEATURE_ROW_EXTRA,
                                 .rows_a_sample = image ? 1 : (int64_t)drawn,
                                 .again = again,
                                 .start = position > 0 ? position : 0 };
    th_code           rc = TH_OK;

    out->cache = -1;
    if (row == 0)
        goto out;
    TH_TRY(find_cache(walk, &wanted, &out->cache, err));
    th_forecast_cache *cache = &f->caches[out->cache];
    out->seen = cache->seen + earlier;
    out->work = work_below(walk, tower, cut, o->captions);
    cache->seen += samples;
    double all = (double)cache->row_bytes * (double)th_forecast_cache_rows(f, cache);
    cache->kept = all > 0 ? fmin(1, (double)o->cache_budget.count / all) : 1;
    if (image && cut <= f->parameters.model.image.layers &&
        th_frozen_cache_bytes(&options) > o->cache_budget.count)
        cache->kept = 0; // token rows are kept when there is room for all, or not at all
out:
    return rc;
}

int64_t th_forecast_cache_rows(const th_forecast *forecast, const th_forecast_cache *cache)
{
    return (int64_t)ceil(
        (double)cache->rows_a_sample *
        th_coverage_missed(cache->seen, forecast->records, cache->start, cache->again));
}

int64_t th_forecast_cache_bytes(const th_forecast *forecast, const th_forecast_cache *cache)
{
    double rows = (double)th_forecast_cache_rows(forecast, cache) * cache->kept;

    return (int64_t)ceil(rows) * cache->row_bytes;
}

// Buffers for what is not yet written, the index of what is, and what computing the rows that are
// missing needs besides: pictures side by side, and their rows.
static size_t cache_memory(const th_forecast_walk *walk, const th_phase *phase, int64_t ranks)
{
    const th_forecast *f = walk->forecast;
    int64_t            bytes = 0, side = f->parameters.model.image.size;

    for (int t = 0; t < 2; t++) {
        if (phase->cache[t].cache < 0)
            continue;
        const th_forecast_cache *c = &f->caches[phase->cache[t].cache];
        int64_t own = th_forecast_cache_bytes(f, c) / ranks, n = phase->passes[t].micro;
        bytes += own < CACHE_BUFFERS ? own : CACHE_BUFFERS;
        bytes += th_forecast_cache_rows(f, c) * ROW_MEMORY;
        bytes += n * (t == 0 ? c->row_bytes + side * side * 3 : c->rows_a_sample * c->row_bytes);
    }
    return (size_t)bytes;
}

// --- the rest ---

static size_t loader_memory(const th_forecast_walk *walk, const th_train_options *o,
                            const th_phase_cache *cache)
{
    const th_forecast *f = walk->forecast;
    th_loader_options  options = { .batch = o->batch,
                                   .world_size = walk->in->ranks,
                                   .captions = o->captions,
                                   .size = f->parameters.model.image.size,
                                   .threads = (int)o->loader_threads,
                                   .ahead = (int)o->loader_ahead };

    if (cache->cache >= 0) // rows that stand for pictures
        options.rows.row_bytes = (size_t)f->caches[cache->cache].row_bytes - TH_FEATURE_ROW_EXTRA;
    return th_loader_bytes(&options, f->tokens);
}

// Open MPI adds up a bucket in a second buffer of its size. When backward is faster than the
// exchange, all of them are under way at its end.
static size_t communication_memory(const th_forecast_walk *walk, const th_footprint *footprint)
{
    return walk->in->ranks > 1 ? footprint->gradients : 0;
}

static th_code checkpoint_size(const th_forecast_walk *walk, int64_t *out, th_err *err)
{
    th_saved_parameter *saved = NULL;
    th_code             rc = TH_OK;

    TH_TRY(th_state_describe(&walk->forecast->parameters, &saved, err));
    th_snapshot snapshot = { .parameters = saved,
                             .parameter_count = walk->forecast->parameters.row_count,
                             .config = walk->in->config };
    TH_TRY(th_layout_size(&snapshot, out, err));
out:
    free(saved);
    return rc;
}

void th_forecast_evaluation(th_forecast_walk *walk)
{
    th_parameters *p = &walk->forecast->parameters;
    th_world       world = { .size = walk->in->ranks };

    if (!walk->in->val)
        return;
    // An evaluation keeps no tapes: the pass of a tower in which nothing trains.
    th_parameters_freeze_all(p, false);
    walk->evaluation_bytes =
        th_evaluate_bytes(&world, p, th_pack_describe(walk->in->val), &walk->evaluation_arena);
}

static void count_trainable(const th_parameters *p, int64_t out[3])
{
    out[TH_IMAGE] = out[TH_TEXT_TOWER] = out[TH_NO_TOWER] = 0;
    for (int i = 0; i < p->row_count; i++)
        out[p->rows[i].tower] += p->rows[i].trainable ? p->rows[i].count : 0;
}

size_t th_phase_bytes(const th_phase *phase)
{
    size_t sum = 0;

    for (int i = 0; i < TH_MEMORY_KINDS; i++)
        sum += phase->memory[i];
    return sum;
}

// Passes under the budget. Errors: TH_EUSAGE.
static th_code fit(const th_forecast_walk *walk, const th_stage *stage,
                   const th_footprint *footprint, th_phase *out, th_err *err)
{
    size_t  budget, evaluation = 0;
    th_code rc = TH_OK;

    TH_TRY(th_footprint_activations(footprint, stage->options.memory_budget.count, stage->own.name,
                                    &budget, err));
    TH_TRY(plan(walk, stage, budget, out->passes, err));
    if (walk->in->val && stage->options.eval_every.unit != TH_NEVER) {
        evaluation = walk->evaluation_arena;
        out->memory[TH_MEMORY_EVALUATION] = walk->evaluation_bytes;
    }
    out->memory[TH_MEMORY_ACTIVATIONS] =
        out->passes[0].peak_bytes > evaluation ? out->passes[0].peak_bytes : evaluation;
out:
    return rc;
}

th_code th_forecast_phase(th_forecast_walk *walk, const th_stage *stage, int64_t position,
                          int64_t earlier, int64_t samples, th_phase *out, th_err *err)
{
    const th_train_options *o = &stage->options;
    const th_parameters    *p = &walk->forecast->parameters;
    th_world                world = { .size = walk->in->ranks };
    th_footprint footprint = th_footprint_of(p, &world, o->batch, o->captions, o->mask_duplicates);
    th_code      rc = TH_OK;

    count_trainable(p, out->trains);
    out->traffic = th_traffic_of(p, world.size, o->batch, o->captions, o->mask_duplicates);
    TH_TRY(checkpoint_size(walk, &out->checkpoint_bytes, err));
    for (int t = 0; t < 2; t++)
        TH_TRY(plan_cache(walk, stage, t == 0 ? TH_IMAGE : TH_TEXT_TOWER, position, earlier,
                          samples, &out->cache[t], err));
    // The snapshot's memory never shrinks.
    walk->snapshot_bytes =
        footprint.snapshot > walk->snapshot_bytes ? footprint.snapshot : walk->snapshot_bytes;
    out->memory[TH_MEMORY_WEIGHTS] = footprint.weights;
    out->memory[TH_MEMORY_GRADIENTS] = footprint.gradients;
    out->memory[TH_MEMORY_MOMENTS] = footprint.moments;
    out->memory[TH_MEMORY_SNAPSHOT] = walk->snapshot_bytes + WRITER_BYTES;
    out->memory[TH_MEMORY_FEATURES] = footprint.features;
    out->memory[TH_MEMORY_LOADER] = loader_memory(walk, o, &out->cache[TH_IMAGE]);
    out->memory[TH_MEMORY_COMMUNICATION] = communication_memory(walk, &footprint);
    out->memory[TH_MEMORY_PROGRAM] = walk->in->program_bytes;
    TH_TRY(fit(walk, stage, &footprint, out, err));
    out->memory[TH_MEMORY_CACHE] = cache_memory(walk, out, world.size);
out:
    return rc;
}
