/* base/philox.h - counter-based random numbers: a draw is a pure function of its key.
 *
 * Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Random123).
 * Every draw in thaw is keyed by (seed, purpose, epoch, sample), so it is the same on any rank, on
 * any world size and in any replay. All functions are local and safe in any thread. */
#ifndef TH_BASE_PHILOX_H
#define TH_BASE_PHILOX_H

#include <stdint.h>

/* out[4] = Philox4x32-10(counter[4], key[2]). */
void th_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* What a draw is for. Values are part of the format: never renumber, only add. */
typedef enum {
    TH_FOR_INIT = 1,    // first weights; sample = the parameter's place in its draw order
    TH_FOR_ORDER = 2,   // sample order; sample = block or window
    TH_FOR_CROP = 3,    // augmentation
    TH_FOR_CAPTION = 4, // which captions of a sample
    TH_FOR_PACK = 5,    // train/validation split of a pack
    TH_FOR_VIEW = 6,    // which of a sample's kept views an epoch takes
    TH_FOR_TEST = 99,
} th_purpose;

typedef struct {
    uint32_t key[2], counter[4], block[4];
    int      left; // unused words in block
} th_rng;

/* Starts the stream of (seed, purpose, epoch, sample): the counter is {draw, epoch, sample}, the
 * key is the seed with purpose * 0x9E3779B9 added to its low word. */
void th_rng_init(th_rng *rng, uint64_t seed, th_purpose purpose, uint32_t epoch, uint64_t sample);

uint32_t th_rng_u32(th_rng *rng);
uint64_t th_rng_u64(th_rng *rng);
uint64_t th_rng_below(th_rng *rng, uint64_t n); // uniform in [0, n), without bias; n >= 1
double   th_rng_uniform(th_rng *rng);           // [0, 1), 53 bits
double   th_rng_normal(th_rng *rng);            // mean 0, deviation 1 (Box-Muller, one draw a call)

#endif
