#include "trainer/scalars.h"

#include <string.h>

#define STEP(label, field, ...)                                                                    \
    {                                                                                              \
        .name = label, .offset = offsetof(th_step_report, field), __VA_ARGS__                      \
    }
#define EVAL(label, field, ...)                                                                    \
    {                                                                                              \
        .name = label, .offset = offsetof(th_eval_report, field), .tower = -1, __VA_ARGS__         \
    }

// In the order of the line.
const th_scalar th_step_scalars[] = {
    STEP("train/loss", loss, .less = true, .tower = -1),
    STEP("train/grad_norm", grad_norm, .less = true, .tower = -1),
    STEP("train/grad_norm/image", tower_grad_norm[TH_IMAGE], .less = true, .tower = TH_IMAGE),
    STEP("train/grad_norm/text", tower_grad_norm[TH_TEXT_TOWER], .less = true,
         .tower = TH_TEXT_TOWER),
    STEP("train/param_norm/image", tower_param_norm[TH_IMAGE], .less = true, .tower = -1),
    STEP("train/param_norm/text", tower_param_norm[TH_TEXT_TOWER], .less = true, .tower = -1),
    STEP("train/logit_scale", logit_scale, .tower = -1),
    STEP("train/lr", lr, .tower = -1),
};
const int th_step_scalar_count = sizeof th_step_scalars / sizeof *th_step_scalars;

const th_scalar th_eval_scalars[] = {
    EVAL("val/loss", loss, .less = true),
    EVAL("val/text_to_image_R@1", retrieval.text_to_image[0]),
    EVAL("val/text_to_image_R@5", retrieval.text_to_image[1]),
    EVAL("val/text_to_image_R@10", retrieval.text_to_image[2]),
    EVAL("val/text_to_image_median_rank", retrieval.text_to_image_median, .less = true),
    EVAL("val/image_to_text_R@1", retrieval.image_to_text[0]),
    EVAL("val/image_to_text_R@5", retrieval.image_to_text[1]),
    EVAL("val/image_to_text_R@10", retrieval.image_to_text[2]),
    EVAL("val/image_to_text_median_rank", retrieval.image_to_text_median, .less = true),
};
const int th_eval_scalar_count = sizeof th_eval_scalars / sizeof *th_eval_scalars;

static const th_scalar *find(const th_scalar *rows, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const th_scalar *th_scalar_find(const char *name)
{
    const th_scalar *row = find(th_step_scalars, th_step_scalar_count, name);

    return row ? row : find(th_eval_scalars, th_eval_scalar_count, name);
}

bool th_step_scalar(const th_scalar *scalar, const th_step_report *report, double *out)
{
    if (scalar->tower >= 0 && !report->trains[scalar->tower])
        return false;
    memcpy(out, (const char *)report + scalar->offset, sizeof *out);
    return true;
}

double th_eval_scalar(const th_scalar *scalar, const th_eval_report *report)
{
    double value;

    memcpy(&value, (const char *)report + scalar->offset, sizeof value);
    return value;
}
