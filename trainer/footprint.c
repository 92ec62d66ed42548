#include "trainer/footprint.h"

#include "trainer/frozen.h"
#include "trainer/step.h"

th_footprint th_footprint_of(const th_parameters *parameters, const th_world *world, int64_t batch,
                             int64_t captions, bool mask_duplicates)
{
    th_footprint out = { .features = th_step_feature_bytes(parameters, world, batch, captions,
                                                           mask_duplicates) };

    for (int i = 0; i < parameters->row_count; i++) {
        bool   trains = parameters->rows[i].trainable;
        size_t bytes = (size_t)parameters->rows[i].count * sizeof(th_real);
        out.weights += bytes;
        out.gradients += trains ? bytes : 0;
        out.moments += trains || parameters->step[i] > 0 ? 2 * bytes : 0;
    }
    out.snapshot = out.weights + out.moments;
    return out;
}

th_code th_footprint_activations(const th_footprint *footprint, int64_t budget, const char *stage,
                                 size_t *out_bytes, th_err *err)
{
    const th_footprint *f = footprint;
    const double        mib = 1048576;
    size_t              fixed = f->weights + f->gradients + f->moments + f->snapshot + f->features;
    th_code             rc = TH_OK;

    TH_CHECK((size_t)budget > fixed, TH_EUSAGE, "raise memory_budget, or train less at a time",
             "memory_budget is %.1f MiB, and stage \"%s\" needs %.1f MiB beside activations: "
             "weights %.1f, gradients %.1f, moments %.1f, their snapshot %.1f, features %.1f",
             (double)budget / mib, stage, (double)fixed / mib, (double)f->weights / mib,
             (double)f->gradients / mib, (double)f->moments / mib, (double)f->snapshot / mib,
             (double)f->features / mib);
    *out_bytes = (size_t)budget - fixed;
out:
    return rc;
}

void th_footprint_pass(const th_parameters *parameters, th_tower tower, int64_t n, int64_t tokens,
                       size_t *out_tape, size_t *out_scratch)
{
    th_image_tower image = { .parameters = parameters };
    th_text_tower  text = { .parameters = parameters };

    if (tower == TH_IMAGE)
        th_image_tower_bytes(&image, n, out_tape, out_scratch);
    else
        th_text_tower_bytes(&text, n, tokens, out_tape, out_scratch);
    *out_scratch += th_frozen_bytes(parameters, tower, n, tokens);
}
