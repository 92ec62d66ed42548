#include "trainer/frozen.h"

#include "base/hash.h"
#include "trainer/nn/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_VERSION 1 // raised when the towers come to compute something else

static int64_t layers_of(const th_parameters *parameters, th_tower tower)
{
    return tower == TH_IMAGE ? parameters->model.image.layers : parameters->model.text.layers;
}

static int64_t cut_reals(const th_parameters *parameters, th_tower tower, int64_t tokens)
{
    return th_tower_cut(parameters, tower) == 0 ? 0 : th_tower_cut_reals(parameters, tower, tokens);
}

size_t th_frozen_bytes(const th_parameters *parameters, th_tower tower, int64_t n, int64_t tokens)
{
    if (th_tower_cut(parameters, tower) == 0)
        return 0;
    // Of pooled rows and features each sample has one; of token rows the tokens count.
    bool inside =
        tower == TH_TEXT_TOWER && th_tower_cut(parameters, tower) <= layers_of(parameters, tower);
    int64_t reals =
        inside ? cut_reals(parameters, tower, tokens) : n * cut_reals(parameters, tower, 1);

    return (size_t)reals * sizeof(th_real) + 64;
}

static void describe_cut(const th_parameters *parameters, th_tower tower, char *out, size_t size)
{
    int     cut = th_tower_cut(parameters, tower);
    int64_t layers = layers_of(parameters, tower);

    if (cut == layers + 2)
        (void)snprintf(out, size, "feature");
    else if (cut == layers + 1)
        (void)snprintf(out, size, "pooled");
    else
        (void)snprintf(out, size, "tokens entering block %d", cut - 1);
}

// Hash of the weights below the cut.
static th_code hash_weights(const th_parameters *parameters, th_tower tower, uint64_t *out,
                            th_err *err)
{
    th_hasher *hasher = NULL;
    int        cut = th_tower_cut(parameters, tower);
    th_code    rc = TH_OK;

    TH_TRY(th_hasher_open(&hasher, err));
    for (int i = 0; i < parameters->row_count; i++) {
        const th_parameter *row = &parameters->rows[i];
        if (row->tower == tower && parameters->groups[row->group].depth < cut)
            th_hasher_add(hasher, th_weight(parameters, i), (size_t)row->count * sizeof(th_real));
    }
    *out = th_hasher_value(hasher);
out:
    th_hasher_close(hasher);
    return rc;
}

int64_t th_frozen_cache_row_bytes(const th_frozen_cache_options *options)
{
    const th_parameters *p = options->parameters;
    int                  cut = th_tower_cut(p, options->tower);
    bool                 image = options->tower == TH_IMAGE;

    if (cut == 0 || options->budget_bytes == 0 || (image && options->random_crop) ||
        (!image && cut <= layers_of(p, options->tower)))
        return 0;
    return cut_reals(p, options->tower, 1) * (int64_t)sizeof(th_real);
}

th_code th_frozen_cache_open(const th_frozen_cache_options *options, th_feature_cache **out,
                             th_err *err)
{
    const th_parameters     *p = options->parameters;
    th_tower                 tower = options->tower;
    th_feature_cache_options cache = { .base = options->folder,
                                       .rank = options->rank,
                                       .budget_bytes = options->budget_bytes,
                                       .writable = true };
    char                     key[512];
    th_code                  rc = TH_OK;

    *out = NULL;
    cache.about.row_bytes = (uint64_t)th_frozen_cache_row_bytes(options);
    if (cache.about.row_bytes == 0)
        return TH_OK;
    (void)snprintf(cache.about.tower, sizeof cache.about.tower, "%s",
                   tower == TH_IMAGE ? "image" : "text");
    describe_cut(p, tower, cache.about.cut, sizeof cache.about.cut);
    cache.about.pack_hash = th_pack_hash(options->pack);
    TH_TRY(hash_weights(p, tower, &cache.about.weights_hash, err));
    int size = snprintf(key, sizeof key, "%d %s %s %zu %s %d %llx %llx", KEY_VERSION,
                        cache.about.tower, cache.about.cut, sizeof(th_real), th_gemm_core(),
                        (int)p->model.activation, (unsigned long long)cache.about.pack_hash,
                        (unsigned long long)cache.about.weights_hash);
    const th_image_config *image = &p->model.image;
    const th_text_config  *text = &p->model.text;
    (void)snprintf(key + size, sizeof key - (size_t)size,
                   " %lld %lld %lld %lld %lld %lld %lld %d %d", (long long)image->size,
                   (long long)image->patch, (long long)image->heads, (long long)image->layers,
                   (long long)text->heads, (long long)text->layers, (long long)text->context,
                   (int)text->kind, (int)text->pool);
    cache.key = th_hash(key, strlen(key));
    (void)snprintf(cache.about.description, sizeof cache.about.description, "%s",
                   th_pack_folder(options->pack));
    TH_TRY(th_feature_cache_open(&cache, out, err));
out:
    return rc == TH_OK ? TH_OK : th_during(err, "opening the cache of a frozen tower");
}

// One tower's side of a pass through a cache.
typedef struct {
    th_feature_cache     *cache;
    int64_t               n, reals; // samples, th_reals of one's rows
    th_real              *rows;     // [n, reals]
    bool                 *missing;  // [n]
    const th_image_tower *image;    // either an image tower
    const uint8_t        *pixels;
    const int64_t        *records;
    const th_text_tower  *text; // or a text tower
    const th_captions    *captions;
} lookup;

// Which row of the cache a sample has: its record, or a hash of the caption's tokens.
static uint64_t item_of(const lookup *of, int64_t i)
{
    if (of->image)
        return (uint64_t)of->records[i];
    const int64_t *offsets = of->captions->offsets;
    return th_hash(of->captions->tokens + offsets[i],
                   (size_t)(offsets[i + 1] - offsets[i]) * sizeof(int32_t));
}

// The missing samples side by side, so that one pass computes them all: their bits are the same in
// any company. `list` holds their places.
static th_code compute_images(const lookup *of, const int64_t *list, int64_t count, th_real *rows,
                              th_arena *arena, th_err *err)
{
    int64_t  size = of->image->parameters->model.image.size, bytes = size * size * 3;
    uint8_t *pixels = NULL;
    th_code  rc = TH_OK;

    TH_TRY(th_alloc((size_t)(count * bytes), 1, "pictures to compute", (void **)&pixels, err));
    for (int64_t k = 0; k < count; k++)
        memcpy(pixels + k * bytes, of->pixels + list[k] * bytes, (size_t)bytes);
    TH_TRY(th_image_lower(of->image, pixels, count, arena, rows, err));
out:
    free(pixels);
    return rc;
}

static th_code compute_texts(const lookup *of, const int64_t *list, int64_t count, th_real *rows,
                             th_arena *arena, th_err *err)
{
    const int64_t *from = of->captions->offsets;
    int64_t       *offsets = NULL;
    int32_t       *tokens = NULL;
    th_code        rc = TH_OK;

    TH_TRY(th_alloc((size_t)count + 1, sizeof *offsets, "caption offsets", (void **)&offsets, err));
    for (int64_t k = 0; k < count; k++)
        offsets[k + 1] = offsets[k] + from[list[k] + 1] - from[list[k]];
    TH_TRY(th_alloc((size_t)offsets[count], sizeof *tokens, "captions to compute", (void **)&tokens,
                    err));
    for (int64_t k = 0; k < count; k++)
        memcpy(tokens + offsets[k], of->captions->tokens + from[list[k]],
               (size_t)(offsets[k + 1] - offsets[k]) * sizeof *tokens);
    th_captions some = { .tokens = tokens, .offsets = offsets, .n = count };
    TH_TRY(th_text_lower(of->text, &some, arena, rows, err));
out:
    free(offsets);
    free(tokens);
    return rc;
}

// Fills rows: what the cache has, then what it has not, computed and put.
static th_code fill(const lookup *of, th_arena *arena, th_err *err)
{
    int64_t *list = NULL, count = 0, reals = of->reals;
    th_real *rows = NULL;
    th_code  rc = TH_OK;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < of->n; i++)
        of->missing[i] = !th_feature_cache_get(of->cache, item_of(of, i), 0, of->rows + i * reals);
    TH_TRY(th_alloc((size_t)of->n, sizeof *list, "missing samples", (void **)&list, err));
    for (int64_t i = 0; i < of->n; i++)
        if (of->missing[i])
            list[count++] = i;
    if (count == 0)
        goto out;
    TH_TRY(th_alloc((size_t)(count * reals), sizeof *rows, "rows to compute", (void **)&rows, err));
    if (of->image)
        TH_TRY(compute_images(of, list, count, rows, arena, err));
    else
        TH_TRY(compute_texts(of, list, count, rows, arena, err));
    for (int64_t k = 0; k < count; k++) {
        memcpy(of->rows + list[k] * reals, rows + k * reals, (size_t)reals * sizeof *rows);
        th_feature_cache_put(of->cache, item_of(of, list[k]), 0, rows + k * reals);
    }
out:
    free(list);
    free(rows);
    return rc;
}

// Takes the rows from the arena and fills them. They stay: what is above them uses them.
static th_code look_up(lookup *of, const th_parameters *parameters, th_tower tower, th_arena *arena,
                       th_err *err)
{
    th_code rc = TH_OK;

    of->reals = cut_reals(parameters, tower, 1);
    of->rows = th_arena_take(arena, (size_t)(of->n * of->reals), sizeof(th_real));
    TH_CHECK(of->rows, TH_EIO, "lower micro_batch or raise memory_budget",
             "no room for the rows of %lld samples", (long long)of->n);
    TH_TRY(th_alloc((size_t)of->n, sizeof(bool), "cached samples", (void **)&of->missing, err));
    TH_TRY(fill(of, arena, err));
out:
    free(of->missing);
    of->missing = NULL;
    return rc;
}

th_code th_frozen_image_forward(th_feature_cache *cache, const th_image_tower *tower,
                                const uint8_t *pixels, const int64_t *records, int64_t n,
                                th_arena *arena, th_tape **out_tape, th_real *features, th_err *err)
{
    lookup  of = { .cache = cache, .n = n, .image = tower, .pixels = pixels, .records = records };
    size_t  mark = arena->used_bytes;
    th_code rc = TH_OK;

    if (!cache)
        return th_image_forward(tower, pixels, n, arena, out_tape, features, err);
    TH_TRY(look_up(&of, tower->parameters, TH_IMAGE, arena, err));
    TH_TRY(th_image_upper(tower, of.rows, n, arena, out_tape, features, err));
out:
    if (!out_tape || rc != TH_OK)
        th_arena_rewind(arena, mark);
    return rc;
}

th_code th_frozen_text_forward(th_feature_cache *cache, const th_text_tower *tower,
                               const th_captions *captions, th_arena *arena, th_tape **out_tape,
                               th_real *features, th_err *err)
{
    lookup  of = { .cache = cache, .n = captions->n, .text = tower, .captions = captions };
    size_t  mark = arena->used_bytes;
    th_code rc = TH_OK;

    if (!cache)
        return th_text_forward(tower, captions, arena, out_tape, features, err);
    TH_TRY(look_up(&of, tower->parameters, TH_TEXT_TOWER, arena, err));
    TH_TRY(th_text_upper(tower, captions, of.rows, arena, out_tape, features, err));
out:
    if (!out_tape || rc != TH_OK)
        th_arena_rewind(arena, mark);
    return rc;
}
