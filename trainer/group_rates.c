#include "trainer/group_rates.h"

#include "trainer/group_run.h"

#include <stdio.h>

#define ENTRY_BYTES (TH_GROUP_RUN_NAME + 48) // a name, two numbers, and what stands around them

typedef struct {
    const th_parameters *parameters;
    const double        *row_rate;
} table;

size_t th_group_rates_room(const th_parameters *parameters)
{
    return (size_t)parameters->group_count * ENTRY_BYTES + 3;
}

bool th_group_rates(const th_parameters *parameters, const double *row_rate, int group,
                    double *out_least, double *out_greatest)
{
    const th_group *this = &parameters->groups[group];
    double least = 0, greatest = 0;
    bool   trains = false;

    for (int i = this->first_row; i < this->first_row + this->row_count; i++) {
        if (!parameters->rows[i].trainable)
            continue;
        least = trains && least < row_rate[i] ? least : row_rate[i];
        greatest = trains && greatest > row_rate[i] ? greatest : row_rate[i];
        trains = true;
    }
    *out_least = least;
    *out_greatest = greatest;
    return trains;
}

static bool alike(const void *context, int group, int other)
{
    const table *of = context;
    double       least[2], greatest[2];

    return th_group_rates(of->parameters, of->row_rate, group, &least[0], &greatest[0]) &&
           th_group_rates(of->parameters, of->row_rate, other, &least[1], &greatest[1]) &&
           least[0] == least[1] && greatest[0] == greatest[1];
}

void th_group_rates_print(const th_parameters *parameters, const double *row_rate, double rate,
                          char *out, size_t size)
{
    table  of = { parameters, row_rate };
    char   name[TH_GROUP_RUN_NAME];
    double least = 0, greatest = 0;
    size_t used = 0;

    for (int g = 0, end; g < parameters->group_count; g = end) {
        end = th_group_run(parameters, g, alike, &of, name);
        if (!th_group_rates(parameters, row_rate, g, &least, &greatest) ||
            (least == rate && greatest == rate))
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s\"%s\": ", used ? ", " : "{", name);
        if (least == greatest)
            used += (size_t)snprintf(out + used, size - used, "%.6g", least);
        else
            used += (size_t)snprintf(out + used, size - used, "[%.6g, %.6g]", least, greatest);
    }
    (void)snprintf(out + used, size - used, "%s", used ? "}" : "");
}
