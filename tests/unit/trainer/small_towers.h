/* tests/unit/trainer/small_towers.h - a small model, its input, and one pass of each tower. */
#ifndef TH_TESTS_SMALL_TOWERS_H
#define TH_TESTS_SMALL_TOWERS_H

#include "base/philox.h"
#include "tests/test.h"
#include "trainer/towers/tower.h"

#ifndef SAMPLES
#define SAMPLES 7
#endif

typedef struct {
    th_parameters  p;
    th_image_tower image;
    th_text_tower  text;
    th_captions    captions;
    uint8_t       *pixels;
    int32_t       *tokens;
    int64_t        offsets[SAMPLES + 1];
    th_real       *d_features; // [SAMPLES, embed]
    th_arena       arena;
} small_towers;

static inline void small_fill(th_real *x, int64_t count, uint64_t stream, double deviation)
{
    th_rng rng;
    th_rng_init(&rng, 5, TH_FOR_TEST, 0, stream);
    for (int64_t i = 0; i < count; i++)
        x[i] = (th_real)(deviation * th_rng_normal(&rng));
}

static inline void *small_new(int64_t count, size_t size)
{
    void  *memory = NULL;
    th_err err = { 0 };
    th_assert_ok(th_alloc((size_t)count, size, "test", &memory, &err), &err);
    return memory;
}

/* The first tower that is worth a look: a model with a BERT text tower is here for that alone. */
static inline th_tower small_first(const th_model_config *model)
{
    return model->text.kind == TH_TEXT_BERT ? TH_TEXT_TOWER : TH_IMAGE;
}

/* Opens a model of that size with weights that make every term count: norms and biases differ from
 * their first values, which are one and zero, and the matrices of BERT are as large as CLIP's. */
static inline small_towers *small_open(const th_model_config *model)
{
    small_towers *s = small_new(1, sizeof *s);
    th_err        err = { 0 };
    th_rng        rng;
    int64_t       total = 0, bytes = SAMPLES * model->image.size * model->image.size * 3;

    th_assert_ok(th_parameters_open(model, &s->p, &err), &err);
    th_parameters_init(&s->p, 1);
    for (int i = 0; i < s->p.row_count; i++) {
        th_real *w = th_weight(&s->p, i);
        for (int64_t j = 0; s->p.rows[i].dimensions == 1 && j < s->p.rows[i].count; j++) {
            th_real noise;
            small_fill(&noise, 1, (uint64_t)(i * 100000 + j), 0.2);
            w[j] += noise;
        }
        if (s->p.rows[i].tower == TH_TEXT_TOWER && model->text.kind == TH_TEXT_BERT)
            for (int64_t j = 0; s->p.rows[i].dimensions == 2 && j < s->p.rows[i].count; j++)
                w[j] *= (th_real)(1 / (0.02 * sqrt((double)model->text.width)));
    }
    th_rng_init(&rng, 6, TH_FOR_TEST, 0, 0);
    s->pixels = small_new(bytes, 1);
    for (int64_t i = 0; i < bytes; i++)
        s->pixels[i] = (uint8_t)th_rng_below(&rng, 256);
    // Lengths 1 to context, the longest among them; EOT ends each caption.
    s->tokens = small_new(SAMPLES * model->text.context, sizeof *s->tokens);
    for (int64_t i = 0; i < SAMPLES; i++) {
        int64_t count = i == 2   ? model->text.context
                        : i == 4 ? 1
                                 : 1 + (int64_t)th_rng_below(&rng, (uint64_t)model->text.context);
        s->offsets[i] = total;
        for (int64_t t = 0; t < count; t++)
            s->tokens[total + t] =
                t == count - 1 ? (int32_t)model->text.vocabulary - 1
                               : (int32_t)th_rng_below(&rng, (uint64_t)model->text.vocabulary - 1);
        total += count;
    }
    s->offsets[SAMPLES] = total;
    s->d_features = small_new(SAMPLES * model->embed, sizeof(th_real));
    small_fill(s->d_features, SAMPLES * model->embed, 3, 1);
    s->image = (th_image_tower){ &s->p, { 0.48f, 0.46f, 0.41f }, { 0.27f, 0.26f, 0.28f } };
    s->text = (th_text_tower){ &s->p };
    s->captions = (th_captions){ s->tokens, s->offsets, SAMPLES };
    th_assert_ok(th_arena_open(&s->arena, (size_t)1 << 32, &err), &err);
    return s;
}

static inline void small_close(small_towers *s)
{
    th_arena_close(&s->arena);
    th_parameters_close(&s->p);
    free(s->pixels), free(s->tokens), free(s->d_features);
    free(s);
}

/* Forward over samples first .. first + n - 1; with a tape if d_features is not NULL, and then
 * backward. features [n, embed]. */
static inline void small_pass(small_towers *s, th_tower tower, int64_t first, int64_t n,
                              const th_real *d_features, bool add, const th_backward_hooks *hooks,
                              th_real *features)
{
    th_err      err = { 0 };
    th_tape    *tape = NULL, **keep = d_features ? &tape : NULL;
    int64_t     side = s->p.model.image.size;
    th_captions part = { s->tokens, s->offsets + first, n };

    if (tower == TH_IMAGE) {
        th_assert_ok(th_image_forward(&s->image, s->pixels + first * side * side * 3, n, &s->arena,
                                      keep, features, &err),
                     &err);
        if (keep)
            th_assert_ok(
                th_image_backward(&s->image, tape, d_features, add, &s->arena, hooks, &err), &err);
    } else {
        th_assert_ok(th_text_forward(&s->text, &part, &s->arena, keep, features, &err), &err);
        if (keep)
            th_assert_ok(th_text_backward(&s->text, tape, d_features, add, &s->arena, hooks, &err),
                         &err);
    }
    th_arena_rewind(&s->arena, 0);
}

static const th_model_config small_model = {
    .image = { .size = 12, .patch = 4, .width = 24, .layers = 3, .heads = 4 },
    .text = { .context = 9, .vocabulary = 40, .width = 20, .layers = 2, .heads = 2 },
    .embed = 10,
    .activation = TH_GELU,
};

// The activation is the image tower's: BERT's is GELU whatever the model's is.
static const th_model_config small_bert = {
    .image = { .size = 12, .patch = 4, .width = 24, .layers = 1, .heads = 4 },
    .text = { .context = 9,
              .vocabulary = 40,
              .width = 20,
              .layers = 2,
              .heads = 2,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_FIRST,
              .types = 2 },
    .embed = 10,
    .activation = TH_QUICK_GELU,
};
static const th_model_config small_bert_mean = {
    .image = { .size = 12, .patch = 4, .width = 24, .layers = 1, .heads = 4 },
    .text = { .context = 9,
              .vocabulary = 40,
              .width = 20,
              .layers = 2,
              .heads = 2,
              .kind = TH_TEXT_BERT,
              .pool = TH_POOL_MEAN,
              .types = 2 },
    .embed = 10,
    .activation = TH_QUICK_GELU,
};
static const th_model_config *const small_models[] = { &small_model, &small_bert,
                                                       &small_bert_mean };
#define SMALL_MODELS (sizeof small_models / sizeof *small_models)

#endif
