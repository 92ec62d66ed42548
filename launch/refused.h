/* launch/refused.h - what a pack refused, counted by kind of reason. */
#ifndef TH_LAUNCH_REFUSED_H
#define TH_LAUNCH_REFUSED_H

#include "base/error.h"
#include <stdint.h>

#define TH_REFUSED_REASONS 64 // told apart; what comes after them is counted as `others`

typedef struct {
    int64_t total, others; // lines; of them those whose reason found no room
    struct th_refused_reason {
        char    reason[128];
        int64_t count;
    } reasons[TH_REFUSED_REASONS]; // most first
    int reason_count;
} th_refused;

/* Reads <pack>/quarantine.jsonl line by line. The kind of a reason is what stands before its colon;
 * a pack without one has refused nothing. Errors: TH_EDATA when a line is not what thaw writes,
 * TH_EIO. */
TH_MUST_CHECK th_code th_refused_count(const char *pack, th_refused *out, th_err *err);

#endif
