/* trainer/traffic.h - bytes that each rank sends in a step.
 *
 * Counted as ring algorithms move them, which is the least that is possible: of n bytes among N
 * ranks each sends
 *
 *     all-gather    (N - 1) / N n          every piece but the neighbour's passes by once
 *     all-reduce    2 (N - 1) / N n        a reduce-scatter, then an all-gather
 *
 * (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
 * workstations"). MPI chooses among algorithms; a tree moves as much in all, and more of it through
 * some ranks. */
#ifndef TH_TRAINER_TRAFFIC_H
#define TH_TRAINER_TRAFFIC_H

#include "trainer/parameters.h"

typedef struct {
    // Softmax: all-gather of B (1 + K) d reals. Masks: of B K keys, with it or with the loss.
    int64_t features;
    // Softmax: of each of the B K rows a maximum and an inverse (all-gather of reals), of each
    // column a maximum and a sum (all-reduce of doubles). Sigmoid: the texts of one rank, [b K, d],
    // go round N - 1 times, and where the text tower trains their gradients N times.
    int64_t loss;
    int64_t gradients; // all-reduce of the groups of which a row trains
} th_traffic;

/* Of the table with the rows that train now. Local. */
th_traffic th_traffic_of(const th_parameters *parameters, int64_t ranks, int64_t batch,
                         int64_t captions, bool mask_duplicates);

static inline int64_t th_traffic_bytes(const th_traffic *traffic)
{
    return traffic->features + traffic->loss + traffic->gradients;
}

#endif
