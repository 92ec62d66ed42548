#include "tests/bench/work.h"

#include "base/philox.h"
#include "base/slice.h"

#include <stdlib.h>
#include <string.h>

_Bool th_work_model(const char *preset, th_model_config *out)
{
    th_text_config clip = {
        .context = 77, .vocabulary = 49408, .width = 512, .layers = 12, .heads = 8
    };
    th_text_config tiny = {
        .context = 77, .vocabulary = 8192, .width = 192, .layers = 4, .heads = 3
    };

    if (strcmp(preset, "ViT-B-32") == 0)
        *out = (th_model_config){ .image = { 224, 32, 768, 12, 12 }, .text = clip, .embed = 512 };
    else if (strcmp(preset, "ViT-B-16") == 0)
        *out = (th_model_config){ .image = { 224, 16, 768, 12, 12 }, .text = clip, .embed = 512 };
    else if (strcmp(preset, "tiny") == 0)
        *out = (th_model_config){ .image = { 64, 8, 192, 6, 3 }, .text = tiny, .embed = 128 };
    else
        return 0;
    return 1;
}

th_batch *th_work_batch(const th_model_config *model, int64_t B, int64_t K, int64_t tokens,
                        int rank, int world_size)
{
    int64_t   first = th_slice_first(B, world_size, rank), n = th_slice_count(B, world_size, rank);
    int64_t   bytes = n * model->image.size * model->image.size * 3, context = model->text.context;
    th_batch *batch = calloc(1, sizeof *batch);
    uint8_t  *pixels = malloc((size_t)bytes);
    int64_t  *offsets = calloc((size_t)(n * K + 1), sizeof *offsets);
    int32_t  *ids = malloc((size_t)(n * K * context) * sizeof *ids);
    int64_t  *records = calloc((size_t)n + 1, sizeof *records);
    th_rng    rng;

    if (!batch || !pixels || !offsets || !ids || !records) {
        free(batch);
        free(pixels);
        free(offsets);
        free(ids);
        free(records);
        return NULL;
    }
    for (int64_t i = 0; i < n * K; i++) {
        th_rng_init(&rng, 1, TH_FOR_TEST, 0, (uint64_t)(first * K + i));
        // From half to one and a half of the mean, as short captions spread.
        int64_t spread = tokens < context ? tokens / 2 : 0;
        int64_t count = tokens - spread + (int64_t)th_rng_below(&rng, (uint64_t)(2 * spread + 1));
        count = count < 3 ? 3 : count > context ? context : count;
        int32_t *at = ids + offsets[i];
        for (int64_t t = 0; t < count; t++)
            at[t] = (int32_t)th_rng_below(&rng, (uint64_t)(model->text.vocabulary - 2));
        at[0] = (int32_t)model->text.vocabulary - 2;
        at[count - 1] = (int32_t)model->text.vocabulary - 1;
        offsets[i + 1] = offsets[i] + count;
    }
    th_rng_init(&rng, 2, TH_FOR_TEST, 0, (uint64_t)first);
    for (int64_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)th_rng_u32(&rng);
    *batch = (th_batch){ .position = first,
                         .n = n,
                         .pixels = pixels,
                         .tokens = ids,
                         .offsets = offsets,
                         .caption_count = n * K,
                         .records = records };
    for (int64_t i = 0; i < n; i++)
        records[i] = first + i;
    return batch;
}

void th_work_free(th_batch *batch)
{
    free((void *)batch->pixels);
    free((void *)batch->tokens);
    free((void *)batch->offsets);
    free((void *)batch->records);
    free(batch);
}
