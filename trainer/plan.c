#include "trainer/plan.h"

#include <stdio.h>

// The most that one pass over micro-batches of m samples needs: of tape, and of scratch beside it.
static void largest(const th_pass_cost *cost, int64_t b, int64_t m, size_t *out_tape,
                    size_t *out_scratch)
{
    *out_tape = *out_scratch = 0;
    for (int64_t first = 0; first < b; first += m) {
        size_t  tape, scratch;
        int64_t n = first + m < b ? m : b - first;
        cost->bytes(cost->context, first, n, &tape, &scratch);
        if (!cost->trains)
            tape = 0;
        *out_tape = tape > *out_tape ? tape : *out_tape;
        *out_scratch = scratch > *out_scratch ? scratch : *out_scratch;
    }
}

// The most that stands in the arena at a time: forward kept the image tapes, then the text tapes on
// top of them; backward uses up the text tapes, then the image tapes. What was not kept is made
// again when those are gone.
static size_t peak(const th_pass_plan plan[2], const size_t tape[2], const size_t scratch[2])
{
    size_t kept[2], most = 0;

    for (int t = 0; t < 2; t++)
        kept[t] = (size_t)plan[t].keep * tape[t];
    for (int t = 0; t < 2; t++) {
        size_t below = t == 1 ? kept[0] : 0;
        size_t top = kept[t] > tape[t] || plan[t].keep == plan[t].count ? kept[t] : tape[t];
        most = below + top + scratch[t] > most ? below + top + scratch[t] : most;
    }
    return most;
}

// Plans with micro-batches of m; false when they do not fit. Tapes of the text tower are kept
// first: they are the smaller ones, and stand above the image tower's in the arena.
static bool plan_with(const th_pass_cost cost[2], int64_t b, int64_t m, size_t budget,
                      th_pass_plan out[2])
{
    int64_t count = (b + m - 1) / m;
    size_t  tape[2], scratch[2], used = 0;

    for (int t = 0; t < 2; t++)
        largest(&cost[t], b, m, &tape[t], &scratch[t]);
    size_t image = tape[0] + scratch[0], text = tape[1] + scratch[1];
    size_t working =
        image > text ? image : text; // a micro-batch computed again, on top of the kept
    if (working > budget)
        return false;
    for (int t = 1; t >= 0; t--) {
        int64_t room = tape[t] > 0 ? (int64_t)((budget - working - used) / tape[t]) : count;
        int64_t keep = !cost[t].trains ? 0 : room < count ? room : count;
        // When all are kept none is computed again, but scratch is still needed: `working` covers
        // it.
        out[t] = (th_pass_plan){ .micro = m, .count = count, .keep = keep };
        used += (size_t)keep * tape[t];
    }
    out[0].peak_bytes = out[1].peak_bytes = peak(out, tape, scratch);
    return true;
}

static bool keeps_all(const th_pass_cost cost[2], const th_pass_plan plan[2])
{
    for (int t = 0; t < 2; t++)
        if (cost[t].trains && plan[t].keep < plan[t].count)
            return false;
    return true;
}

th_code th_plan_passes(const th_pass_cost cost[2], int64_t b, int64_t micro, size_t budget_bytes,
                       th_pass_plan out[2], th_err *err)
{
    th_pass_plan plan[2] = { 0 }, largest_fit[2] = { 0 };
    bool         fits = false;
    th_code      rc = TH_OK;

    out[0] = out[1] = (th_pass_plan){ .micro = 1 };
    if (b == 0)
        return TH_OK;
    if (micro > b)
        micro = b;
    // The largest micro-batch with which every tape stays; failing that, the largest that fits.
    for (int64_t m = micro ? micro : b; m >= 1; m = m > 1 ? (m + 1) / 2 : 0) {
        if (plan_with(cost, b, m, budget_bytes, plan)) {
            if (!fits) {
                largest_fit[0] = plan[0];
                largest_fit[1] = plan[1];
            }
            fits = true;
            if (keeps_all(cost, plan)) {
                largest_fit[0] = plan[0];
                largest_fit[1] = plan[1];
                break;
            }
        }
        if (micro)
            break;
    }
    if (!fits) {
        size_t  tape[2], scratch[2];
        int64_t m = micro ? micro : 1;
        for (int t = 0; t < 2; t++)
            largest(&cost[t], b, m, &tape[t], &scratch[t]);
        TH_FAIL(TH_EUSAGE, "raise memory_budget or lower micro_batch",
                "a micro-batch of %lld needs %.1f MiB (image) and %.1f MiB (text), and the memory "
                "budget leaves %.1f MiB for activations",
                (long long)m, (double)(tape[0] + scratch[0]) / 1048576,
                (double)(tape[1] + scratch[1]) / 1048576, (double)budget_bytes / 1048576);
    }
    out[0] = largest_fit[0];
    out[1] = largest_fit[1];
out:
    return rc;
}
