/* comm/agree.h - ranks agree before they act, so that no rank waits for one that gave up. */
#ifndef TH_COMM_AGREE_H
#define TH_COMM_AGREE_H

#include "comm/world.h"

/* Local work may have failed on some ranks: call it with each rank's code (and err when it failed).
 * Returns TH_OK on all ranks or an error on all. A rank that failed keeps its own error; the others
 * get TH_EPEER whose `what` quotes the first failing rank: "rank 3 of 8 on node7: <its what>", with
 * its fix and trail. When that rank's code is TH_EUSAGE, TH_EDATA, TH_EIO or TH_ESTOP, the others
 * return it too, so that every rank exits alike. */
TH_MUST_CHECK th_code th_agree(th_world *world, th_code code, th_err *err);

/* *out = bitwise or of all ranks' flags: someone wants to stop, someone's loss is not finite. */
TH_MUST_CHECK th_code th_agree_flags(th_world *world, uint32_t flags, uint32_t *out, th_err *err);

/* All ranks must be the same in everything that has a name here: program, configuration, pack.
 * Errors: TH_EUSAGE on all ranks, naming the first fact that differs, the ranks (those that are not
 * in the majority) with their hosts, and the fix. */
typedef struct {
    const char *name; // "program", "configuration", "pack data.train"
    uint64_t    hash;
    const char *fix; // "install the same build of thaw on every node"
} th_fact;
TH_MUST_CHECK th_code th_agree_same(th_world *world, const th_fact *facts, int count, th_err *err);

#endif
