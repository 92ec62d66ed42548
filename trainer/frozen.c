#include "trainer/frozen.h"

#include "base/hash.h"

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

// One tower's side of a pass through a cache.
typedef struct {
    th_feature_cache     *cache;
    int64_t               n, reals; // samples, th_reals of one's rows
    th_real              *rows;     // [n, reals]
    bool                 *missing;  // [n]
    const th_image_tower *image;    // either an image tower
    const th_batch       *batch;    // and samples first .. first + n of its pictures
    int64_t               first;
    const th_text_tower  *text; // or a text tower
    const th_captions    *captions;
} lookup;

// Which row of the cache a sample has: its record, or a hash of the caption's tokens.
static uint64_t item_of(const lookup *of, int64_t i)
{
    if (of->image)
        return (uint64_t)of->batch->records[of->first + i];
    const int64_t *offsets = of->captions->offsets;
    return th_hash(of->captions->tokens + offsets[i],
                   (size_t)(offsets[i + 1] - offsets[i]) * sizeof(int32_t));
}

static uint32_t view_of(const lookup *of, int64_t i)
{
    return of->image && of->batch->views ? of->batch->views[of->first + i] : 0;
}

// The row that the loader has found already, instead of the picture; NULL when there is none.
static const unsigned char *row_read(const lookup *of, int64_t i)
{
    size_t row_bytes = (size_t)of->reals * sizeof(th_real);

    if (!of->image || !of->batch->has_row || !of->batch->has_row[of->first + i])
        return NULL;
    return (const unsigned char *)of->batch->rows + (size_t)(of->first + i) * row_bytes;
}

static bool find(const lookup *of, int64_t i, th_real *row)
{
    const unsigned char *read = row_read(of, i);

    if (!read)
        return th_feature_cache_get(of->cache, item_of(of, i), view_of(of, i), row);
    memcpy(row, read, (size_t)of->reals * sizeof *row);
    return true;
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
        memcpy(pixels + k * bytes, of->batch->pixels + (of->first + list[k]) * bytes,
               (size_t)bytes);
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
        of->missing[i] = !find(of, i, of->rows + i * reals);
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
        th_feature_cache_put(of->cache, item_of(of, list[k]), view_of(of, list[k]),
                             rows + k * reals);
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

static bool get_row(void *cache, int64_t record, uint32_t view, void *out_row)
{
    return th_feature_cache_get(cache, (uint64_t)record, view, out_row);
}

th_row_source th_frozen_row_source(th_feature_cache *cache, const th_parameters *parameters)
{
    if (!cache)
        return (th_row_source){ 0 };
    return (th_row_source){ .get = get_row,
                            .context = cache,
                            .row_bytes =
                                (size_t)cut_reals(parameters, TH_IMAGE, 1) * sizeof(th_real) };
}

th_code th_frozen_image_forward(th_feature_cache *cache, const th_image_tower *tower,
                                const th_batch *batch, int64_t first, int64_t n, th_arena *arena,
                                th_tape **out_tape, th_real *features, th_err *err)
{
    int64_t size = tower->parameters->model.image.size;
    lookup  of = { .cache = cache, .n = n, .image = tower, .batch = batch, .first = first };
    size_t  mark = arena->used_bytes;
    th_code rc = TH_OK;

    if (!cache)
        return th_image_forward(tower, batch->pixels + first * size * size * 3, n, arena, out_tape,
                                features, err);
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

th_code th_frozen_image_keep(th_feature_cache *cache, const th_image_tower *tower,
                             const th_batch *batch, int64_t first, int64_t n, th_arena *arena,
                             th_err *err)
{
    lookup  of = { .cache = cache, .n = n, .image = tower, .batch = batch, .first = first };
    size_t  mark = arena->used_bytes;
    th_code rc = look_up(&of, tower->parameters, TH_IMAGE, arena, err);

    th_arena_rewind(arena, mark);
    return rc;
}

th_code th_frozen_text_keep(th_feature_cache *cache, const th_text_tower *tower,
                            const th_captions *captions, th_arena *arena, th_err *err)
{
    lookup  of = { .cache = cache, .n = captions->n, .text = tower, .captions = captions };
    size_t  mark = arena->used_bytes;
    th_code rc = look_up(&of, tower->parameters, TH_TEXT_TOWER, arena, err);

    th_arena_rewind(arena, mark);
    return rc;
}
