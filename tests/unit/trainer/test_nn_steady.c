/* The steady product in float, the precision of the program. */
#include "tests/unit/trainer/steady_cases.h"
