/* trainer/group_rates.h - learning rates group by group, where they are not the stage's. */
#ifndef TH_TRAINER_GROUP_RATES_H
#define TH_TRAINER_GROUP_RATES_H

#include "trainer/parameters.h"

/* Bytes of text that th_group_rates_print may need. */
size_t th_group_rates_room(const th_parameters *parameters);

/* A JSON object of the trainable groups whose rate is another than `rate`, neighbours of the same
 * rate under one pattern: {"image.blocks[2:4]": 0.0002, "image.head": [0.0001, 0.0004]}. Two
 * numbers are the least and the greatest rate in a group whose rows differ. Empty text when there
 * is none. row_rate   [row_count] out        th_group_rates_room bytes Local. */
void th_group_rates_print(const th_parameters *parameters, const double *row_rate, double rate,
                          char *out, size_t size);

/* Least and greatest rate of the rows of a group that train; false, and 0, when none does.
 * Local. */
bool th_group_rates(const th_parameters *parameters, const double *row_rate, int group,
                    double *out_least, double *out_greatest);

#endif
