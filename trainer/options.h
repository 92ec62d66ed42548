/* trainer/options.h - what a run file says, as a struct, and its option table. */
#ifndef TH_TRAINER_OPTIONS_H
#define TH_TRAINER_OPTIONS_H

#include "base/option.h"
#include "trainer/model.h"

typedef struct {
    /* model: sizes left at 0 come from model.preset */
    const char *preset;
    int64_t     image_size, image_patch, image_width, image_layers, image_heads;
    int64_t     text_context, text_width, text_layers, text_heads;
    const char *text_kind, *text_pool;
    int64_t     embed;
    const char *activation;

    /* where the first weights come from, NULL: drawn */
    const char *init_from, *init_image, *init_text;

    /* loss */
    const char *loss; // softmax, sigmoid
    bool        mask_duplicates;

    /* data */
    const char *train, *val; // packs
    const char *order;       // shuffled, sequential
    const char *augment;     // none, crop
    th_pair     crop_scale;  // share of the picture's area that a random crop takes
    int64_t     views;       // of random crops, 0: a new one each epoch
    double      bad_share;
    int64_t     loader_threads, loader_ahead;

    /* what a stage trains, and how long */
    int64_t     batch, captions, seed;
    th_span     length;
    double      lr, weight_decay, eps, clip_norm;
    bool        decay_positions;
    th_pair     betas;
    th_span     warmup;
    const char *lr_shape;
    double      lr_floor;
    th_map      lr_factors; // patterns of parameters: lr: {text.embed: 16x}

    /* the run */
    th_span     checkpoint_every;
    int64_t     checkpoint_keep;
    th_span     eval_every;
    th_bytes    memory_budget;
    th_bytes    cache_budget;
    const char *cache_folder;
    int64_t     micro_batch;
    int64_t     threads;
    const char *run_dir;
} th_train_options;

extern const th_option th_train_table[];
extern const int       th_train_table_count;

/* The model that the options name: preset first (ViT-B-32 where none is set), then what is set. The
 * vocabulary is the pack's. Errors: TH_EUSAGE. Local. */
TH_MUST_CHECK th_code th_train_model(const th_train_options *options, int64_t vocabulary,
                                     th_model_config *out, th_err *err);

/* Sets the options that name this model: all but the vocabulary, and no preset. Local. */
void th_train_set_model(th_train_options *options, const th_model_config *model);

/* A span in steps of `batch` samples over `records` records, at least 1 unless the amount is 0.
 * `name` is the option's, for the error. Errors: TH_EUSAGE for a time or "never". Local. */
TH_MUST_CHECK th_code th_span_steps(const char *name, th_span span, int64_t batch, int64_t records,
                                    int64_t *out, th_err *err);

#endif
