/* trainer/model.h - the sizes of a model, and the well-known ones by name. */
#ifndef TH_TRAINER_MODEL_H
#define TH_TRAINER_MODEL_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { TH_GELU, TH_QUICK_GELU } th_activation;

/* CLIP: causal, norms before attention and MLP, a norm at the end. BERT (Devlin et al. 2018,
 * arXiv:1810.04805): bidirectional, norms behind the residual sums and behind the embeddings, which
 * have a third term, the token type; always exact GELU, norms with 1e-12. */
typedef enum { TH_TEXT_CLIP, TH_TEXT_BERT } th_text_kind;

/* What of a sequence is its feature: the last token, the first, or the mean of all. */
typedef enum { TH_POOL_END, TH_POOL_FIRST, TH_POOL_MEAN } th_pool;

typedef struct {
    int64_t size;  // pixels a side; a multiple of patch
    int64_t patch; // pixels a side of a patch
    int64_t width, layers, heads;
} th_image_config;

typedef struct {
    int64_t context;    // longest caption in tokens, with those that stand around it
    int64_t vocabulary; // of the pack's tokenizer: every token is below it
    int64_t width, layers, heads;

    th_text_kind kind;
    th_pool      pool;  // END for CLIP, FIRST or MEAN for BERT
    int64_t      types; // token types of BERT, of which captions use the first; CLIP has none: 0
} th_text_config;

/* MLP hidden width is 4 * width in both towers, as in CLIP and BERT. */
typedef struct {
    th_image_config image;
    th_text_config  text;
    int64_t         embed; // width of a feature
    th_activation   activation;
    bool            logit_bias; // the sigmoid loss has one beside the logit scale
} th_model_config;

/* Checks that sizes fit each other (patch divides size, heads divide width, nothing is zero or
 * absurd). Errors: TH_EUSAGE with the option's name. Local. */
TH_MUST_CHECK th_code th_model_check(const th_model_config *model, th_err *err);

/* Patches of an image, without the class token. */
static inline int64_t th_patch_count(const th_image_config *image)
{
    return (image->size / image->patch) * (image->size / image->patch);
}

#endif
