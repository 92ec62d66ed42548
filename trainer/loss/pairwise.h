/* trainer/loss/pairwise.h - the sigmoid loss; th_contrastive and th_contrastive_bytes come here. */
#ifndef TH_TRAINER_LOSS_PAIRWISE_H
#define TH_TRAINER_LOSS_PAIRWISE_H

#include "trainer/loss/contrastive.h"

TH_MUST_CHECK th_code th_pairwise(th_world *world, const th_contrastive_input *in, th_arena *arena,
                                  th_contrastive_output *out, th_err *err);

size_t th_pairwise_bytes(const th_world *world, const th_contrastive_input *in);

#endif
