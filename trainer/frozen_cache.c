// Which rows a frozen tower's cache keeps, under which key, and whether they fit.
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "trainer/frozen.h"
#include "trainer/nn/kernels.h"

#include <stdio.h>
#include <string.h>

#define KEY_VERSION 2 // raised when the towers come to compute something else

static int64_t layers_of(const th_parameters *parameters, th_tower tower)
{
    return tower == TH_IMAGE ? parameters->model.image.layers : parameters->model.text.layers;
}

// Is the cut inside the blocks, so that a sample's rows are those of its tokens?
static bool cut_inside(const th_frozen_cache_options *options)
{
    return th_tower_cut(options->parameters, options->tower) <=
           layers_of(options->parameters, options->tower);
}

static bool takes_views(const th_frozen_cache_options *options)
{
    return options->tower == TH_IMAGE && options->random_crop;
}

int64_t th_frozen_cache_row_bytes(const th_frozen_cache_options *options)
{
    bool image = options->tower == TH_IMAGE;

    if (th_tower_cut(options->parameters, options->tower) == 0 || options->budget_bytes == 0 ||
        (image && options->random_crop && options->views == 0) || (!image && cut_inside(options)))
        return 0;
    return th_tower_cut_reals(options->parameters, options->tower, 1) * (int64_t)sizeof(th_real);
}

static void describe_cut(const th_frozen_cache_options *options, char *out, size_t size)
{
    int     cut = th_tower_cut(options->parameters, options->tower);
    int64_t layers = layers_of(options->parameters, options->tower);

    if (cut == layers + 2)
        (void)snprintf(out, size, "feature");
    else if (cut == layers + 1)
        (void)snprintf(out, size, "pooled");
    else
        (void)snprintf(out, size, "tokens entering block %d", cut - 1);
}

// How many views there are is not part of it: the first ones are the same.
static void describe_input(const th_frozen_cache_options *options, char *out, size_t size)
{
    if (options->tower != TH_IMAGE)
        (void)snprintf(out, size, "captions");
    else if (!options->random_crop)
        (void)snprintf(out, size, "centre");
    else
        (void)snprintf(out, size, "crops of %.9g to %.9g, seed %llu", options->crop_scale[0],
                       options->crop_scale[1], (unsigned long long)options->seed);
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

static th_code describe(const th_frozen_cache_options *options, th_feature_about *out, th_err *err)
{
    const th_parameters *p = options->parameters;
    const char          *kernels = options->kernels ? options->kernels : th_kernels_name();
    th_code              rc = TH_OK;

    *out = (th_feature_about){ .row_bytes = (uint64_t)th_frozen_cache_row_bytes(options),
                               .pack_hash = th_pack_hash(options->pack) };
    (void)snprintf(out->tower, sizeof out->tower, "%s",
                   options->tower == TH_IMAGE ? "image" : "text");
    describe_cut(options, out->cut, sizeof out->cut);
    describe_input(options, out->input, sizeof out->input);
    (void)snprintf(out->kernels, sizeof out->kernels, "%s", kernels);
    (void)snprintf(out->description, sizeof out->description, "%s", th_pack_folder(options->pack));
    TH_TRY(hash_weights(p, options->tower, &out->weights_hash, err));
out:
    return rc;
}

static uint64_t key_of(const th_parameters *p, const th_feature_about *about)
{
    const th_image_config *image = &p->model.image;
    const th_text_config  *text = &p->model.text;
    char                   key[768];

    int size = snprintf(key, sizeof key, "%d %s %s %zu %d %llx %llx %s / %s /", KEY_VERSION,
                        about->tower, about->cut, sizeof(th_real), (int)p->model.activation,
                        (unsigned long long)about->pack_hash,
                        (unsigned long long)about->weights_hash, about->input, about->kernels);
    (void)snprintf(key + size, sizeof key - (size_t)size,
                   " %lld %lld %lld %lld %lld %lld %lld %d %d", (long long)image->size,
                   (long long)image->patch, (long long)image->heads, (long long)image->layers,
                   (long long)text->heads, (long long)text->layers, (long long)text->context,
                   (int)text->kind, (int)text->pool);
    return th_hash(key, strlen(key));
}

int64_t th_frozen_cache_bytes(const th_frozen_cache_options *options)
{
    const th_pack_info *info = th_pack_describe(options->pack);
    int64_t samples = options->tower == TH_IMAGE ? info->records : info->captions, bytes;
    int64_t row = th_frozen_cache_row_bytes(options);

    if (row == 0)
        return 0;
    if (__builtin_mul_overflow(samples, takes_views(options) ? options->views : 1, &bytes) ||
        __builtin_mul_overflow(bytes, row + TH_FEATURE_ROW_EXTRA, &bytes))
        return INT64_MAX;
    return bytes;
}

// May rows be added? Says so once when they do not all fit.
static bool check_budget(const th_frozen_cache_options *options, const th_feature_about *about)
{
    double needed = (double)th_frozen_cache_bytes(options), budget = (double)options->budget_bytes;

    if (needed <= budget)
        return true;
    if (cut_inside(options)) {
        th_warn("the %s tower's rows (%s) need %.1f GB and cache.budget is %.1f GB: none are kept, "
                "and the tower is computed each time",
                about->tower, about->cut, needed / 1e9, budget / 1e9);
        return false;
    }
    th_warn("the %s tower's rows (%s) need up to %.1f GB and cache.budget is %.1f GB: %.0f %% of "
            "them are kept",
            about->tower, about->cut, needed / 1e9, budget / 1e9, 100 * budget / needed);
    return true;
}

// Is there a cache of that key, to be read at least?
static bool stands(const th_feature_cache_options *cache)
{
    char name[TH_HASH_TEXT], path[4096];

    th_hash_print(cache->key, name);
    return th_path_join(path, sizeof path, cache->base, name) && th_path_exists(path);
}

th_code th_frozen_cache_open(const th_frozen_cache_options *options, th_feature_cache **out,
                             th_err *err)
{
    th_feature_cache_options cache = { .base = options->folder,
                                       .rank = options->rank,
                                       .budget_bytes = options->budget_bytes };
    th_code                  rc = TH_OK;

    *out = NULL;
    if (th_frozen_cache_row_bytes(options) == 0)
        return TH_OK;
    TH_TRY(describe(options, &cache.about, err));
    cache.key = key_of(options->parameters, &cache.about);
    cache.writable = check_budget(options, &cache.about);
    if (!cache.writable && !stands(&cache))
        return TH_OK;
    TH_TRY(th_feature_cache_open(&cache, out, err));
out:
    return rc == TH_OK ? TH_OK : th_during(err, "opening the cache of a frozen tower");
}
