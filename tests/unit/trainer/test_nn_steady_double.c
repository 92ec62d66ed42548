/* The steady product in double. */
#include "tests/unit/trainer/steady_cases.h"
