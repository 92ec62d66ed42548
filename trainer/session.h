/* trainer/session.h - what a run holds while it trains: opened in one place, closed in one place.
 */
#ifndef TH_TRAINER_SESSION_H
#define TH_TRAINER_SESSION_H

#include "checkpoint/writer.h"
#include "trainer/evaluate.h"
#include "trainer/metrics.h"
#include "trainer/optim/rate.h"
#include "trainer/schedule/trigger.h"
#include "trainer/state.h"
#include "trainer/step.h"

typedef struct {
    th_world                  *world;
    const struct th_run_input *in;
    const th_train_options    *options; // of the stage under way

    th_pack   *train, *val; // val is NULL without data.val
    int64_t    records;     // of train
    th_loader *loader;

    th_parameters     parameters;
    th_step          *step;
    th_feature_cache *cache[2];    // of the image and the text tower while they are frozen, or NULL
    th_arena          activations; // of steps and evaluations
    th_adamw          adamw;
    th_rate           rate;
    double           *factor;          // [row_count] of the rate, by row
    double           *row_rate;        // [row_count] this step's
    char             *group_rates;     // them as text, of th_group_rates_room bytes
    th_squares        frozen, trained; // of the weights: what the stage leaves, and what it moves

    int64_t eval_steps;       // of a stage; 0: never
    int64_t checkpoint_steps; // 0: by time or never

    th_trigger trigger;     // when the stage ends
    int64_t    total_steps; // of the run, 0: a stage's end is not known beforehand
    bool      *before;      // [row_count] rows that trained at the end of the stage before
    bool      *trains;      // [row_count] rows that train now
    int64_t   *thawed;      // [row_count] the stage's step at which a row began to, 0: at its start
    int64_t    thaw_warmup; // steps

    th_saved_state      state;
    int64_t             saved_step; // newest step handed to the writer, -1 for none
    double              saved_at;   // when, in seconds of the monotonic clock
    th_saved_parameter *saved;      // rank 0: the table as a snapshot
    th_writer          *writer;     // rank 0
    th_metrics         *metrics;    // rank 0

    th_step_report newest;        // of the last step; step 0: none since the start
    double         status_at;     // when status.json was written, in seconds of the monotonic clock
    bool           status_failed; // it could not be, and that was said
} th_session;

/* Opens packs and table, with the weights and the state of the newest good generation, or those of
 * a new run. No stage is entered and nothing opened to write. Errors: as th_run. Calls: Collective.
 */
TH_MUST_CHECK th_code th_session_open_weights(th_world *world, const struct th_run_input *in,
                                              th_session **out, th_err *err);

/* The same, and enters the stage that it stands
 * in, and opens on rank 0 writer and metrics. Errors: as th_run. Calls: Collective. */
TH_MUST_CHECK th_code th_session_open(th_world *world, const struct th_run_input *in,
                                      th_session **out, th_err *err);
void                  th_session_close(th_session *session); // accepts NULL

/* Compute threads of a rank. One that was bound to some of the host's cores takes these; ranks that
 * were not share the cores. Local. */
int th_session_threads(const th_train_options *options, int host_ranks);

/* Hands the state to the checkpoint writer; waits only for the copy. Calls: Collective. */
TH_MUST_CHECK th_code th_session_save(th_session *session, th_err *err);

/* Before a run ends because the next step cannot be made for want of memory (`code` is TH_EUSAGE,
 * on all ranks): commits a generation of the step that was reached, unless it has one or is the
 * first. Returns `code`; that the generation could not be written is only an alarm. Calls:
 * Collective. */
TH_MUST_CHECK th_code th_session_save_before(th_session *session, th_code code);

/* Waits until the last generation is committed. Errors: TH_EIO when it could not be. Collective. */
TH_MUST_CHECK th_code th_session_finish(th_session *session, th_err *err);

double th_session_logit_scale(const th_session *session);

#endif
