/* The cut of a tower in float, the precision of the program. */
#include "tests/unit/trainer/tower_cut_cases.h"
