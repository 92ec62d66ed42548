/* trainer/nn/real.h - the number the model computes in.
 *
 * float in the program. The same sources compiled with TH_DOUBLE compute in double: tests check the
 * gradients in it against central differences, where float's rounding would hide a wrong term. */
#ifndef TH_TRAINER_NN_REAL_H
#define TH_TRAINER_NN_REAL_H

#include "comm/buckets.h"

#ifdef TH_DOUBLE
typedef double th_real;
#define TH_REAL_NUMBER TH_FLOAT64
#define TH_REAL_C(x)   (x)
#else
typedef float th_real;
#define TH_REAL_NUMBER TH_FLOAT
#define TH_REAL_C(x)   (x##f)
#endif

#endif
