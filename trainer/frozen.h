/* trainer/frozen.h - what the frozen part of a tower makes of a sample is computed once and kept.
 *
 * A pass is cut at the tower's lowest trainable group (th_tower_cut). Below the cut the rows of a
 * sample are the same in every epoch while the input is, and have the same bits in any company:
 * they are looked up in a cache first, computed where they are missing, and put there. So a run has
 * the same bits with a cache and without, and after a resume, whatever the cache holds.
 *
 * The key of a cache is a hash of all that its rows depend on: the frozen weights, the model's
 * sizes, the pack with its preprocessing, how pictures are cropped, the cut, the number type and
 * our kernels. Invalid entries need no removal: other weights have another key.
 *
 * Pictures: the loader reads rows ahead (th_frozen_row_source) and decodes only those pictures that
 * have none. Random crops can be kept when they are views; a new crop each epoch cannot. */
#ifndef TH_TRAINER_FROZEN_H
#define TH_TRAINER_FROZEN_H

#include "dataloader/feature_cache.h"
#include "dataloader/loader.h"
#include "trainer/towers/tower.h"

typedef struct {
    const th_parameters *parameters;
    th_tower             tower;
    th_pack             *pack;
    const char          *folder; // of caches
    int64_t              budget_bytes;
    int                  rank;
    // How pictures are cropped, as th_loader_options say it.
    bool        random_crop;
    int64_t     views;
    double      crop_scale[2];
    uint64_t    seed;
    const char *kernels; // NULL: th_kernels_name()
} th_frozen_cache_options;

/* Bytes of a row of that cache; 0 when there is nothing to keep: the tower trains from the bottom,
 * the budget is 0, a crop is new in each epoch, or (text) the cut is inside the blocks, where rows
 * have no fixed size. Looks at parameters, tower, budget_bytes, random_crop and views. Local. */
int64_t th_frozen_cache_row_bytes(const th_frozen_cache_options *options);

/* Bytes on disk of all rows that there can be; of texts, when no two captions are the same. Local.
 */
int64_t th_frozen_cache_bytes(const th_frozen_cache_options *options);

/* *out = the cache of the tower's frozen part, or NULL when there is nothing to keep. Pooled rows
 * and features are kept as far as the budget goes; token rows, which are as large as pictures, only
 * when it holds them all, else what is there is read and nothing added. Both are told in a warning.
 * Errors: of th_feature_cache_open; go on without. Local. */
TH_MUST_CHECK th_code th_frozen_cache_open(const th_frozen_cache_options *options,
                                           th_feature_cache **out, th_err *err);

/* Bytes for the rows at the cut of n samples (of so many tokens in all). Local. */
size_t th_frozen_bytes(const th_parameters *parameters, th_tower tower, int64_t n, int64_t tokens);

/* What a loader reads instead of pictures; nothing when cache is NULL. The cache is closed after
 * the loader. */
th_row_source th_frozen_row_source(th_feature_cache *cache, const th_parameters *parameters);

/* th_image_forward and th_text_forward through a cache (NULL: none). Pictures are samples first ..
 * first + n of a batch, known by record and view; captions are known by their tokens. With a tape
 * the rows stay in the arena below it. */
TH_MUST_CHECK th_code th_frozen_image_forward(th_feature_cache *cache, const th_image_tower *tower,
                                              const th_batch *batch, int64_t first, int64_t n,
                                              th_arena *arena, th_tape **out_tape,
                                              th_real *features, th_err *err);
TH_MUST_CHECK th_code th_frozen_text_forward(th_feature_cache *cache, const th_text_tower *tower,
                                             const th_captions *captions, th_arena *arena,
                                             th_tape **out_tape, th_real *features, th_err *err);

/* Has the cache keep the rows of these samples: looked up, and computed and put where they are
 * missing. The arena is used and rewound. */
TH_MUST_CHECK th_code th_frozen_image_keep(th_feature_cache *cache, const th_image_tower *tower,
                                           const th_batch *batch, int64_t first, int64_t n,
                                           th_arena *arena, th_err *err);
TH_MUST_CHECK th_code th_frozen_text_keep(th_feature_cache *cache, const th_text_tower *tower,
                                          const th_captions *captions, th_arena *arena,
                                          th_err *err);

#endif
