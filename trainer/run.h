/* trainer/run.h - a training run in its run directory: start or go on, to the end or to a stop.
 *
 * The run directory holds metrics.jsonl (what was computed; the same bytes however often the run
 * was killed), timings.jsonl (how long it took) and ckpt/. launch/ makes the directory, locks it,
 * and keeps config.resolved.yaml; this room reads and writes the three. */
#ifndef TH_TRAINER_RUN_H
#define TH_TRAINER_RUN_H

#include "comm/world.h"
#include "trainer/loss/retrieval.h"
#include "trainer/schedule/stage.h"

/* One step, as launch/ shows it. */
typedef struct {
    int64_t     step, total_steps; // steps done, this one included; total 0: not known
    const char *stage;             // name
    int64_t     stage_number;      // from 1
    int64_t     batch;
    int64_t     samples_seen;
    double      epoch; // samples seen / records
    double      loss, grad_norm, logit_scale, lr;
    double      tower_grad_norm[2]; // of the image and the text tower
    double      tower_param_norm[2];
    bool        trains[2];          // does this tower? One that does not has no gradient.
    const char *group_rates;        // th_group_rates_print, "" when all have lr; borrowed
    bool        skipped;            // loss or gradient was not finite
    double      seconds;            // of the whole step
    double      data_seconds;       // of them, waiting for the loader
    double      checkpoint_seconds; // of them, copying a snapshot
} th_step_report;

/* One evaluation. */
typedef struct {
    int64_t      step;
    double       loss; // val/loss, mean over batches of the global batch size
    th_retrieval retrieval;
} th_eval_report;

/* A stage that begins, or a group that thaws in it, with how many parameters of each tower train
 * from here on. */
typedef struct {
    int64_t     step;
    const char *stage, *event; // "begins", "thaws"
    const char *group;         // that thaws, else NULL
    int64_t     image, text;
} th_stage_event;

typedef struct {
    void (*on_step)(void *context, const th_step_report *report);
    void (*on_eval)(void *context, const th_eval_report *report);
    void (*on_event)(void *context, const th_stage_event *event);
    /* Asked once a step on every rank: has this process been told to stop (a signal, a halt file)?
     */
    bool (*stop_asked)(void *context);
    void *context;
} th_run_hooks;

/* Trains until the run's length is reached (TH_OK, the last generation committed) or until any rank
 * was asked to stop (TH_ESTOP, a generation committed). Goes on from the newest good generation in
 * <folder>/ckpt when there is one.
 *
 *   folder   the run directory, made and locked by rank 0's launch
 *   config   the resolved run file, kept in each checkpoint
 *   facts    hashes of program and configuration for th_agree_same; the pack's is added here
 *
 * Errors: TH_EUSAGE, TH_EDATA, TH_EIO, TH_EPEER; TH_EFAIL after ten steps in a row that were not
 * finite. Calls: Collective. */
struct th_run_input {
    const th_schedule *schedule;
    const char        *folder, *config;
    uint64_t           program_hash, config_hash;
    th_run_hooks       hooks;
};
TH_MUST_CHECK th_code th_run(th_world *world, const struct th_run_input *in, th_err *err);

#endif
