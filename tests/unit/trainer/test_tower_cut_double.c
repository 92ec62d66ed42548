/* The cut of a tower in double. */
#include "tests/unit/trainer/tower_cut_cases.h"
