/* trainer/coverage.h - how much of a feature cache is still missing when samples come.
 *
 * Each epoch is a permutation of the records, drawn anew. A cache that begins somewhere within an
 * epoch misses all of the rest of it, and in the next one those records that stood before. Of
 * captions, an epoch draws some of each record's: what it did not draw is missing in the next. */
#ifndef TH_TRAINER_COVERAGE_H
#define TH_TRAINER_COVERAGE_H

#include <stdint.h>

/* Of the first n samples that a cache meets, those (expected) whose row is not there yet, each met
 * once more for it.
 *   records  of the pack, >= 1
 *   start    position of the first sample: its place in the epoch is start % records
 *   again    chance that a pass over a record asks for a row that the pass before did not: 0 of
 *            pictures, 1 - K / C of K captions drawn among C */
double th_coverage_missed(int64_t n, int64_t records, int64_t start, double again);

#endif
