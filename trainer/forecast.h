/* trainer/forecast.h - what a run will need, stage by stage, before it trains: `thaw plan`.
 *
 * Everything is computed by the functions that the run itself uses, on a parameter table that is
 * reserved and never touched: which rows train (schedule), which moments are kept (staging), how a
 * rank batch is cut (plan), what a pass, the loader, an evaluation and a checkpoint take. What
 * cannot be known beforehand is estimated and said here: the captions' lengths are those of a
 * sample of the pack, and the largest batch has as many tokens as three standard deviations above
 * the mean.
 *
 * A stage is a list of phases, one for each set of rows that trains in it: one, or with gradual
 * unfreezing one a turn. */
#ifndef TH_TRAINER_FORECAST_H
#define TH_TRAINER_FORECAST_H

#include "checkpoint/generations.h"
#include "dataloader/pack.h"
#include "trainer/footprint.h"
#include "trainer/plan.h"
#include "trainer/schedule/stage.h"
#include "trainer/traffic.h"

typedef enum {
    TH_MEMORY_WEIGHTS,
    TH_MEMORY_GRADIENTS,
    TH_MEMORY_MOMENTS,
    TH_MEMORY_SNAPSHOT,
    TH_MEMORY_ACTIVATIONS,
    TH_MEMORY_FEATURES,
    TH_MEMORY_LOADER,
    TH_MEMORY_CACHE,
    TH_MEMORY_COMMUNICATION,
    TH_MEMORY_EVALUATION,
    TH_MEMORY_PROGRAM,
    TH_MEMORY_KINDS
} th_memory_kind;

/* What a kind is called, "weights", and what it is, for a table. */
extern const char *const th_memory_names[TH_MEMORY_KINDS];

/* Rows that a frozen tower's cache takes in. */
typedef struct {
    int     cache; // index into th_forecast.caches, -1: nothing is kept of this tower
    int64_t seen;  // samples that this cache has met when the phase begins
    double  work;  // of computing a sample's missing row, in arbitrary units
} th_phase_cache;

typedef struct {
    int64_t        step;                    // of the stage, at which it begins
    int64_t        trains[3];               // elements that train, by th_tower
    size_t         memory[TH_MEMORY_KINDS]; // bytes of rank 0, at the largest
    th_pass_plan   passes[2];               // of the image and the text tower
    th_traffic     traffic;
    th_phase_cache cache[2];
    int64_t        checkpoint_bytes; // of a generation
    double cold_s, warm_s; // a step whose frozen rows are all missing, all cached; 0: unknown
} th_phase;

/* A cache of one frozen part, which several phases may share. */
typedef struct {
    th_tower tower;
    int      cut;           // th_tower_cut
    int64_t  version;       // of the weights below it
    int64_t  row_bytes;     // on disk
    int64_t  rows_a_sample; // 1, or the captions drawn
    double   again;         // as of th_coverage_missed
    int64_t  start, seen;   // position of its first sample, and samples that it meets in all
    double   kept;          // share of its rows for which the budget has room
} th_forecast_cache;

typedef struct {
    int       index;       // in the schedule
    int64_t   begins;      // step of the run, at the latest
    int64_t   position;    // samples seen by then
    int64_t   done;        // of its steps, already
    int64_t   least, most; // steps of the whole stage; most 0: only a trigger ends it
    int64_t   eval_steps;  // between evaluations, 0: none
    int64_t   checkpoint_steps;
    th_phase *phases;
    int       phase_count;
    bool     *before, *moments; // [row_count] what trained before it; what has moments then
    th_err    problem;          // why it cannot run; code TH_OK: it can
} th_forecast_stage;

typedef struct {
    th_parameters      parameters; // as the last stage leaves it; its arenas are never touched
    int64_t            records;
    double             tokens, tokens_deviation; // of a caption, SOT and EOT included
    int64_t            step, samples_seen;       // where the run stands; 0 of a new one
    th_forecast_stage *stages;                   // those that have not ended
    int                stage_count;
    th_forecast_cache *caches;
    int                cache_count;
    int64_t            map_bytes; // of the packs: address space, of which little is resident
    double             evaluation_s, snapshot_s; // measured by th_probe; 0: unknown
} th_forecast;

typedef struct {
    const th_schedule *schedule;
    th_pack           *train, *val; // val may be NULL
    int                ranks;
    const char        *config;        // the resolved run file, which each checkpoint holds
    size_t             program_bytes; // resident before anything is opened: code, libraries, MPI
    th_reader         *reader;        // the newest checkpoint of a run that has begun, or NULL
} th_forecast_input;

/* With omp_get_max_threads() as the run will have it. A stage that does not fit into memory_budget
 * has its `problem` set and no activations. Errors: TH_EUSAGE as th_session_open, TH_EDATA, TH_EIO.
 * Local. */
TH_MUST_CHECK th_code th_forecast_open(const th_forecast_input *in, th_forecast *out, th_err *err);
void                  th_forecast_close(th_forecast *forecast); // accepts NULL and a zeroed one

/* Sum over the kinds. Local. */
size_t th_phase_bytes(const th_phase *phase);

/* Rows and bytes on disk that a cache comes to hold. Local. */
int64_t th_forecast_cache_rows(const th_forecast *forecast, const th_forecast_cache *cache);
int64_t th_forecast_cache_bytes(const th_forecast *forecast, const th_forecast_cache *cache);

/* Seconds from `done` until `steps` steps of a stage are done, with its evaluations and
 * checkpoints, from what th_probe measured. Local. */
double th_forecast_seconds(const th_forecast *forecast, const th_schedule *schedule,
                           const th_forecast_stage *stage, int64_t steps);

#endif
