#include "trainer/traffic.h"

#include "base/slice.h"

static int64_t all_gather(int64_t bytes, int64_t ranks)
{
    return bytes / ranks * (ranks - 1) + bytes % ranks * (ranks - 1) / ranks;
}

static int64_t all_reduce(int64_t bytes, int64_t ranks)
{
    return 2 * all_gather(bytes, ranks);
}

// The softmax loss takes the features of all ranks.
static void softmax(const th_parameters *parameters, int64_t ranks, int64_t batch, int64_t pairs,
                    bool mask_duplicates, th_traffic *out)
{
    int64_t real = sizeof(th_real), keys = mask_duplicates ? pairs * (int64_t)sizeof(uint64_t) : 0;

    out->features = all_gather((batch + pairs) * parameters->model.embed * real + keys, ranks);
    out->loss = all_gather(2 * pairs * real, ranks) +
                all_reduce(2 * pairs * (int64_t)sizeof(double), ranks);
}

// The sigmoid loss sends blocks of texts round.
static void sigmoid(const th_parameters *parameters, int64_t ranks, int64_t batch, int64_t captions,
                    bool mask_duplicates, th_traffic *out)
{
    int64_t texts = th_slice_count(batch, ranks, 0) * captions;
    int64_t block = texts * parameters->model.embed * (int64_t)sizeof(th_real);
    int64_t keys = mask_duplicates ? texts * (int64_t)sizeof(uint64_t) : 0;
    bool    gradient = th_parameters_tower_trains(parameters, TH_TEXT_TOWER);

    if (ranks > 1)
        out->loss = (ranks - 1) * (block + keys) + (gradient ? ranks * block : 0);
}

th_traffic th_traffic_of(const th_parameters *parameters, int64_t ranks, int64_t batch,
                         int64_t captions, bool mask_duplicates)
{
    th_traffic out = { 0 };
    int64_t    reduced = 0;

    for (int g = 0; g < parameters->group_count; g++)
        if (parameters->groups[g].trainable && parameters->groups[g].tower != TH_NO_TOWER)
            reduced += parameters->groups[g].count;
    out.gradients = all_reduce(reduced * (int64_t)sizeof(th_real), ranks);
    if (parameters->logit_bias >= 0)
        sigmoid(parameters, ranks, batch, captions, mask_duplicates, &out);
    else
        softmax(parameters, ranks, batch, batch * captions, mask_duplicates, &out);
    return out;
}
