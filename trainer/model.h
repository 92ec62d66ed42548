/* trainer/model.h - the sizes of a model, and the well-known ones by name. */
#ifndef TH_TRAINER_MODEL_H
#define TH_TRAINER_MODEL_H

#include "base/error.h"
#include <stdint.h>

typedef enum { TH_GELU, TH_QUICK_GELU } th_activation;

typedef struct {
    int64_t size;  // pixels a side; a multiple of patch
    int64_t patch; // pixels a side of a patch
    int64_t width, layers, heads;
} th_image_config;

typedef struct {
    int64_t context;    // longest caption in tokens, with those that stand around it
    int64_t vocabulary; // of the pack's tokenizer: every token is below it
    int64_t width, layers, heads;
} th_text_config;

/* MLP hidden width is 4 * width in both towers, as in CLIP. */
typedef struct {
    th_image_config image;
    th_text_config  text;
    int64_t         embed; // width of a feature
    th_activation   activation;
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
