/* tests/bench/work.h - the work that step benchmarks do: a known model, a made-up batch. */
#ifndef TH_TESTS_BENCH_WORK_H
#define TH_TESTS_BENCH_WORK_H

#include "dataloader/loader.h"
#include "trainer/model.h"

/* ViT-B-32 with CLIP's vocabulary, ViT-B-16, or tiny (vocabulary 8192). False when unknown. */
_Bool th_work_model(const char *preset, th_model_config *out);

/* This rank's slice of a batch of B samples with K captions each: noise for pixels, and captions
 * whose lengths lie around `tokens` (SOT and EOT included; all the same when it is the context).
 * The same for every call; free with th_work_free. Returns NULL when memory is out. */
th_batch *th_work_batch(const th_model_config *model, int64_t B, int64_t K, int64_t tokens,
                        int rank, int world_size);
void      th_work_free(th_batch *batch);

#endif
