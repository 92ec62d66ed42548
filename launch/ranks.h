/* launch/ranks.h - what verbs that run on all ranks have in common: how they begin and end. */
#ifndef TH_LAUNCH_RANKS_H
#define TH_LAUNCH_RANKS_H

#include "base/log.h"
#include "base/option.h"
#include "comm/world.h"
#include "launch/command_line.h"

/* Opens the world; from then on stderr shows `level` and above of rank 0, and alarms of others.
 *
 * A verb that can start its ranks itself names the options that count before there is a world: they
 * are set from the command line, and when *ranks is over 0 and no launcher has started this
 * process, it becomes the one that starts them, and exits with their code. Such a verb obeys
 * signals, as launch/signals.h says. The others pass NULL twice. Errors: TH_EUSAGE, TH_EIO,
 * TH_EPEER. */
TH_MUST_CHECK th_code th_ranks_begin(const th_command_line *line, const th_option_set *before,
                                     const int64_t *ranks, th_level level, th_world *out,
                                     th_err *err);

/* Closes the world, after rank 0 has said an error (rc) for all; err is then empty, so that main
 * does not say it again. A world that never opened leaves the error to main. */
void th_ranks_end(th_world *world, th_code rc, th_err *err);

#endif
