#include "trainer/coverage.h"

#include <math.h>

#define NOTHING 1e-9 // a chance that adds nothing to any sum

double th_coverage_missed(int64_t n, int64_t records, int64_t start, double again)
{
    int64_t before = start % records, first = records - before < n ? records - before : n;
    double  late = (double)before / (double)records, missed = (double)first;

    // A record of pass j was met j times before, or once less when it stood before `start`.
    n -= first;
    for (int64_t j = 1; n > 0; j++) {
        int64_t count = n < records ? n : records;
        double  chance = (1 - late) * pow(again, (double)j) + late * pow(again, (double)(j - 1));
        if (chance < NOTHING)
            break;
        missed += (double)count * chance;
        n -= count;
    }
    return missed;
}
