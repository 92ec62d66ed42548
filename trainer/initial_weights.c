#include "trainer/initial_weights.h"

#include "base/log.h"
#include "comm/agree.h"
#include "trainer/weights.h"

#include <math.h>

// A pack's pixels are normalized by other numbers than the weights' were: it still trains, worse.
static void compare_pixels(const th_weights *weights, const th_pack_info *info)
{
    const th_foreign_model *model = th_weights_foreign(weights);

    for (int i = 0; model && model->has_pixels && i < 3; i++)
        if (fabs(model->mean[i] - (double)info->mean[i]) > 1e-4 ||
            fabs(model->deviation[i] - (double)info->deviation[i]) > 1e-4) {
            th_warn("the weights are of pixels with mean %.4g %.4g %.4g and deviation %.4g %.4g "
                    "%.4g; the pack's are normalized as %s",
                    model->mean[0], model->mean[1], model->mean[2], model->deviation[0],
                    model->deviation[1], model->deviation[2], info->normalization);
            return;
        }
}

// Rank 0's part of starting from weights: over those that were drawn.
static th_code load_initial(th_parameters *parameters, const th_pack_info *pack, const char *path,
                            th_weights_part part, th_err *err)
{
    th_weights *weights = NULL;
    th_code     rc = TH_OK;

    if (!path)
        return TH_OK;
    TH_TRY(th_weights_open(path, &weights, err));
    TH_TRY(th_weights_load(weights, parameters, part, err));
    if (part != TH_TEXT_ONLY)
        compare_pixels(weights, pack);
out:
    th_weights_close(weights);
    return rc;
}

static th_code load_all(const th_train_options *options, const th_pack_info *pack,
                        th_parameters *parameters, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(load_initial(parameters, pack, options->init_from, TH_BOTH_TOWERS, err));
    TH_TRY(load_initial(parameters, pack, options->init_image, TH_IMAGE_ONLY, err));
    TH_TRY(load_initial(parameters, pack, options->init_text, TH_TEXT_ONLY, err));
out:
    return rc;
}

th_code th_initial_weights(th_world *world, const th_train_options *options,
                           const th_pack_info *pack, th_parameters *parameters, th_err *err)
{
    th_code rc = TH_OK;

    th_parameters_init(parameters, (uint64_t)options->seed);
    if (!options->init_from && !options->init_image && !options->init_text)
        goto out;
    if (world->rank == 0)
        rc = load_all(options, pack, parameters, err);
    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_world_broadcast(world, parameters->weight,
                              (size_t)parameters->elements * sizeof(th_real), 0, err));
out:
    return rc;
}
