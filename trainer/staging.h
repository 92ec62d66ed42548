/* trainer/staging.h - a run enters a stage, follows it, and leaves it for the next.
 *
 * Entering lays out what the stage needs: which rows train, rates, memory, buckets, loader,
 * snapshot. What froze gives its gradients and (unless a later stage trains it again) its moments
 * back to the system; what thaws must fit before the stage starts. Entering is a function of the
 * saved state, so a resumed run stands where it stood. */
#ifndef TH_TRAINER_STAGING_H
#define TH_TRAINER_STAGING_H

#include "trainer/frozen.h"
#include "trainer/session.h"

/* Lays out the stage of session->state. Errors: TH_EUSAGE (it does not fit), TH_EIO. Collective. */
TH_MUST_CHECK th_code th_staging_enter(th_session *session, th_err *err);

/* Writes the event of the first stage of a new run. Collective. */
TH_MUST_CHECK th_code th_staging_begin(th_session *session, th_err *err);

/* After a step: groups whose turn has come thaw, and a stage that has ended is left for the next;
 * each is an event in metrics.jsonl and the log. *out_done: the last stage has ended. Errors:
 * TH_EUSAGE when what is to train does not fit: this step has its checkpoint then. Collective. */
TH_MUST_CHECK th_code th_staging_follow(th_session *session, bool *out_done, th_err *err);

/* Does the stage end with this many of its steps done? Local. */
bool th_staging_ends(const th_session *session);

/* Rates of all rows at the state's step, into session->row_rate; returns the stage's rate. Local.
 */
double th_staging_rates(th_session *session);

/* Writes the stage's state into session->state for a checkpoint. Local. */
TH_MUST_CHECK th_code th_staging_remember(th_session *session, th_err *err);

/* How a tower's cache is opened for the stage of session->options. folder [size] is where its path
 * is put. Errors: TH_EUSAGE (the path is too long). Local. */
TH_MUST_CHECK th_code th_staging_cache_options(const th_session *session, th_tower tower,
                                               char *folder, size_t size,
                                               th_frozen_cache_options *out, th_err *err);

/* Closes the caches, and says in the log what this rank had from them. After the loader. Local. */
void th_staging_close_caches(th_session *session);

#endif
