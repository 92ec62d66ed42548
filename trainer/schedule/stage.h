/* trainer/schedule/stage.h - the stages of a run: what trains, how long, and with which options.
 *
 * A stage holds the run's options with its own laid over them, and says which rows of the parameter
 * table train: `train` replaces the set, `unfreeze` and `freeze` change the one before it, and
 * gradual unfreezing adds one group after the other. The set is a function of (stage, the set at
 * its start, steps done in it), so a resumed run has the one it had. */
#ifndef TH_TRAINER_SCHEDULE_STAGE_H
#define TH_TRAINER_SCHEDULE_STAGE_H

#include "trainer/options.h"
#include "trainer/parameters.h"

/* How one tower thaws, group by group: the first at the stage's start, then one every `every`. */
typedef struct {
    const char *from;  // "top" or "bottom"
    th_span     every; // 0: this tower does not thaw gradually
} th_thaw;

typedef struct {
    const char *name;
    const char *train, *freeze, *unfreeze;      // patterns, "[text, heads]" or one; NULL: not said
    const char *unfreeze_tower, *unfreeze_from; // the short form: one tower
    th_span     unfreeze_every;
    th_thaw     image, text;
    th_span     thaw_warmup;      // of a group that thaws within the stage
    th_map      layer_decay;      // image: 0.75
    const char *moments;          // keep, drop, auto
    const char *rate_over;        // stage, run
    const char *plateau, *metric; // names in metrics.jsonl
    double      below, above, min_delta;
    int64_t     patience;
    th_span     min, max;
} th_stage_options;

extern const th_option th_stage_table[];
extern const int       th_stage_table_count;

typedef struct {
    th_train_options options; // what holds in this stage
    th_stage_options own;
} th_stage;

/* A run file: the run's options and its stages, at least one. */
typedef struct {
    th_train_options options;
    th_stage        *stages;
    int              stage_count;
    bool             single; // the file has no stages: this one is th_schedule_single's
} th_schedule;

/* Gives a run file without stages its single one: everything trains, for as long as `for` says.
 * `room` is where it is put. Local. */
void th_schedule_single(th_schedule *schedule, th_stage *room);

/* Checks what can be told from the stages alone and the table: names, patterns that select nothing,
 * a stage that trains nothing, one that has no end (so that those behind it are never reached),
 * contradictions. Errors: TH_EUSAGE naming the stage. Local. */
TH_MUST_CHECK th_code th_schedule_check(const th_schedule   *schedule,
                                        const th_parameters *parameters, int64_t records,
                                        th_err *err);

/* Steps of the whole run at the latest; 0 when only a trigger ends one of its stages. Errors:
 * TH_EUSAGE. Local. */
TH_MUST_CHECK th_code th_schedule_steps(const th_schedule   *schedule,
                                        const th_parameters *parameters, int64_t records,
                                        int64_t *out, th_err *err);

/* Steps after which a stage ends at the latest, 0 when only its trigger ends it: the smaller of
 * `for` and `until.max`; of gradual unfreezing without either and without a trigger, the groups
 * that are frozen at its start times `one_group_every`, so that each has its turn. `before` as of
 * th_stage_rows. Errors: TH_EUSAGE. Local. */
TH_MUST_CHECK th_code th_stage_steps(const th_stage *stage, const th_parameters *parameters,
                                     int64_t records, const bool *before, int64_t *out,
                                     th_err *err);

/* Does a pattern list, "[text, heads]" or one pattern, select a row? Local. */
bool th_stage_selects(const char *list, const th_parameters *parameters, int row);

/* The rows that train in a stage, when `step` of its steps are done.
 *   before   [row_count] the set at the end of the stage before (all false before the first)
 *   trains   [row_count] the set now
 *   thawed   [row_count] the step of this stage at which a row began to train; 0 for those of the
 *            start
 * Errors: TH_EUSAGE: a pattern selects nothing; nothing trains. Local. */
TH_MUST_CHECK th_code th_stage_rows(const th_stage *stage, const th_parameters *parameters,
                                    int64_t records, const bool *before, int64_t step, bool *trains,
                                    int64_t *thawed, th_err *err);

/* factor[row_count]: layer_decay ^ (groups between the row's and the top of its tower). Local. */
void th_stage_layer_decay(const th_stage *stage, const th_parameters *parameters, double *factor);

/* May a stage after i train this row, or stage i itself thaw it in its turn? What decides about
 * moments. Local. */
bool th_schedule_trains_later(const th_schedule *schedule, int i, const th_parameters *parameters,
                              int row);

/* Does a row that stage i finds frozen keep the moments it has? `keep` and `drop` say so; auto
 * keeps what a later stage may train. Local. */
bool th_schedule_keeps_moments(const th_schedule *schedule, int i, const th_parameters *parameters,
                               int row);

#endif
