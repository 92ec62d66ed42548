/* launch/verbs/plan.c - the dry run: what each stage will need, and with --probe how long it takes.
 * Nothing is written to the run directory. */
#include "launch/verbs/plan.h"

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/machine.h"
#include "launch/plan_report.h"
#include "launch/ranks.h"
#include "launch/run_changes.h"
#include "launch/run_input.h"
#include "launch/scratch.h"
#include "launch/signals.h"
#include "launch/verb.h"
#include "trainer/probe.h"
#include "trainer/session.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    bool    json, probe;
    int64_t started, ranks;
} plan_options;

static const th_option table[] = {
    TH_OPTION(plan_options, "json", json, .fallback = "false", .when = TH_PER_START, .since = "0.2",
              .help = "print one JSON object"),
    TH_OPTION(plan_options, "n", started, .fallback = "0", .unit = "ranks", .max = 1 << 20,
              .when = TH_PER_START, .since = "0.2",
              .help = "start this many ranks with mpirun; 0: as the launcher did"),
    TH_OPTION(plan_options, "probe", probe, .fallback = "false", .when = TH_PER_START,
              .since = "0.2", .help = "do some steps of each stage, and tell how long it takes"),
    TH_OPTION(plan_options, "ranks", ranks, .fallback = "0", .unit = "ranks", .max = 1 << 20,
              .when = TH_PER_START, .since = "0.2",
              .help = "plan for so many ranks on this host, without starting them; 0: as started"),
};

#define TABLE_COUNT (int)(sizeof table / sizeof *table)

void th_plan_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ th_train_table, th_train_table_count, NULL };
    out_sets[1] = (th_option_set){ table, TABLE_COUNT, NULL };
    *out_count = 2;
}

typedef struct {
    th_world           world;
    plan_options       options;
    th_run_input_files files;
    char               checkpoints[1100];
    th_pack           *train, *val;
    th_reader         *reader;
    th_forecast_input  input;
    th_forecast        forecast;
    int                host_ranks;
    th_plan_report     report; // rank 0
} job;

static th_code load(job *this, const th_command_line *line, th_err *err)
{
    const th_train_options *o = &this->files.schedule.options;
    th_code                 rc = TH_OK;

    TH_TRY(th_run_input_open(line, &this->files, err));
    TH_CHECK(th_path_join(this->checkpoints, sizeof this->checkpoints, this->files.folder, "ckpt"),
             TH_EUSAGE, "use a shorter run_dir", "path \"%s/ckpt\" is too long",
             this->files.folder);
    TH_TRY(th_pack_open(o->train, &this->train, err));
    if (o->val)
        TH_TRY(th_pack_open(o->val, &this->val, err));
    TH_TRY(th_reader_open_newest(this->checkpoints, &this->reader, NULL, err));
out:
    return rc;
}

static th_code forecast(job *this, th_err *err)
{
    int64_t asked = this->options.ranks;
    th_code rc = TH_OK;

    TH_CHECK(!this->options.probe || asked == 0 || asked == this->world.size, TH_EUSAGE,
             "start them: thaw plan -n N --probe run.yaml",
             "cannot probe the steps of %lld ranks on %d", (long long)asked, this->world.size);
    bool as_started = asked == 0 || asked == this->world.size;
    this->host_ranks = as_started ? th_world_host_ranks(&this->world) : (int)asked;
    omp_set_num_threads(th_session_threads(&this->files.schedule.options, this->host_ranks));
    this->input = (th_forecast_input){ .schedule = &this->files.schedule,
                                       .train = this->train,
                                       .val = this->val,
                                       .ranks = as_started ? this->world.size : (int)asked,
                                       .config = this->files.resolved,
                                       .program_bytes = (size_t)th_machine_resident(),
                                       .reader = this->reader };
    TH_TRY(th_forecast_open(&this->input, &this->forecast, err));
out:
    return rc;
}

// A checkpoint may have been committed between the looks of two ranks.
static th_code same_place(job *this, th_err *err)
{
    th_fact fact = { "newest checkpoint", (uint64_t)this->forecast.step,
                     "ask again when the run has written its checkpoint" };

    return th_agree_same(&this->world, &fact, 1, err);
}

static bool cannot_run(const th_forecast *f)
{
    for (int i = 0; i < f->stage_count; i++)
        if (f->stages[i].problem.code != TH_OK)
            return true;
    return false;
}

static void show_progress(const char *stage)
{
    th_info("probing stage \"%s\"", stage);
}

static th_code probe(job *this, th_err *err)
{
    th_probe_hooks hooks = { show_progress, th_signals_stop_asked };
    char           scratch[1024];
    th_code        rc = TH_OK;

    TH_TRY(th_scratch_open(&this->world, "thaw-plan", scratch, sizeof scratch, err));
    rc = th_probe(&this->world, &this->input, scratch, &hooks, &this->forecast, err);
    if (rc == TH_OK) // no rank writes to it any more
        rc = th_world_barrier(&this->world, err);
    th_scratch_close(scratch);
out:
    return rc;
}

// --- what does not fit ---

static void look_at_stages(job *this)
{
    th_plan_report    *r = &this->report;
    const th_forecast *f = &this->forecast;
    double             host = (double)th_machine_memory(), most = 0;

    for (int i = 0; i < f->stage_count; i++) {
        const th_forecast_stage *stage = &f->stages[i];
        if (stage->problem.code != TH_OK)
            th_plan_note_add(r, true, stage->problem.fix, "%s", stage->problem.what);
        for (int k = 0; k < stage->phase_count; k++) {
            const th_phase *phase = &stage->phases[k];
            double          bytes = (double)th_phase_bytes(phase);
            most = bytes > most ? bytes : most;
            r->checkpoint_bytes = phase->checkpoint_bytes > r->checkpoint_bytes
                                      ? phase->checkpoint_bytes
                                      : r->checkpoint_bytes;
        }
        r->open_ended |= stage->most == 0;
        if (r->probed)
            r->seconds += th_forecast_seconds(f, &this->files.schedule, stage,
                                              stage->most ? stage->most : stage->least);
    }
    if (most * this->host_ranks > 0.95 * host)
        th_plan_note_add(r, false, "start fewer ranks here, or lower memory_budget or batch",
                         "%d rank%s of %.1f GiB each do not fit into this host's %.1f GiB",
                         this->host_ranks, this->host_ranks == 1 ? "" : "s", most / 1073741824,
                         host / 1073741824);
}

// Generations that are there already go as new ones come.
static void look_at_checkpoints(job *this)
{
    th_plan_report *r = &this->report;
    th_generation  *have = NULL;
    int             count = 0;
    uint64_t        total;
    double          old = 0, need;
    th_err          ignored = { 0 };

    // What cannot be listed is no worse than what is not there: the run will say so.
    if (th_generations_list(this->checkpoints, &have, &count, &ignored) == TH_OK)
        for (int i = 0; i < count; i++)
            old += (double)have[i].bytes;
    free(have);
    r->checkpoints =
        this->files.schedule.options.checkpoint_keep + 1; // a new one before the oldest goes
    need = (double)r->checkpoint_bytes * (double)r->checkpoints;
    if (!th_machine_room(this->files.folder, &r->run_free, &total))
        th_plan_note_add(r, false, "set run_dir to a disk that is there",
                         "the disk of \"%s\" cannot be looked at", this->files.folder);
    else if (need - old > (double)r->run_free)
        th_plan_note_add(r, false, "make room, lower checkpoint.keep, or set run_dir",
                         "checkpoints need %.2f GB more on the disk of \"%s\", which has %.2f GB",
                         (need - old) / 1e9, this->files.folder, (double)r->run_free / 1e9);
}

static void look_at_caches(job *this)
{
    th_plan_report    *r = &this->report;
    const th_forecast *f = &this->forecast;
    const char        *set = this->files.schedule.options.cache_folder;
    const char        *folder = set ? set : this->files.folder;
    uint64_t           total;
    double             all = 0;

    for (int i = 0; i < f->cache_count; i++) {
        const th_forecast_cache *c = &f->caches[i];
        r->cache_bytes += th_forecast_cache_bytes(f, c);
        all = (double)th_forecast_cache_rows(f, c) * (double)c->row_bytes;
        if (c->kept < 1)
            th_plan_note_add(r, false, "raise cache.budget",
                             "features of the frozen %s tower take %.2f GB, and cache.budget keeps "
                             "%.0f %% of them: the others are computed in every epoch",
                             c->tower == TH_IMAGE ? "image" : "text", all / 1e9, 100 * c->kept);
    }
    if (r->cache_bytes > 0 && th_machine_room(folder, &r->cache_free, &total) &&
        (double)r->cache_bytes > (double)r->cache_free)
        th_plan_note_add(r, false, "make room, or set cache.folder to another disk",
                         "feature caches take %.2f GB, and the disk of \"%s\" has %.2f GB: what "
                         "does not fit is computed in every epoch",
                         (double)r->cache_bytes / 1e9, folder, (double)r->cache_free / 1e9);
}

// Would `thaw train` refuse to go on with this run file?
static void look_at_changes(job *this)
{
    char   path[1100];
    th_err why = { 0 };

    if (th_path_join(path, sizeof path, this->files.folder, "config.resolved.yaml") &&
        th_path_exists(path) &&
        th_run_changes(this->files.folder, &this->files.schedule, false, &why) != TH_OK)
        th_plan_note_add(&this->report, true, why.fix, "%s", why.what);
}

static th_code report(job *this, const char *run_file, th_err *err)
{
    th_plan_report *r = &this->report;
    th_code         rc = TH_OK;

    *r = (th_plan_report){ .run_file = run_file,
                           .folder = this->files.folder,
                           .schedule = &this->files.schedule,
                           .forecast = &this->forecast,
                           .ranks = this->input.ranks,
                           .threads = omp_get_max_threads(),
                           .begun = this->reader != NULL,
                           .probed = this->options.probe && !cannot_run(&this->forecast),
                           .now = (double)time(NULL) };
    look_at_stages(this);
    look_at_checkpoints(this);
    look_at_caches(this);
    look_at_changes(this);
    if (this->options.json)
        TH_TRY(th_plan_print_json(r, stdout, err));
    else
        th_plan_print(r, stdout);
    for (int i = 0; i < r->note_count; i++)
        TH_CHECK(!r->notes[i].fatal, TH_EUSAGE, r->notes[i].fix, "the run cannot go through: %s",
                 r->notes[i].what);
out:
    return rc;
}

static th_code plan(job *this, const th_command_line *line, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_agree(&this->world, load(this, line, err), err));
    TH_TRY(th_agree(&this->world, forecast(this, err), err));
    TH_TRY(same_place(this, err));
    if (this->options.probe && !cannot_run(&this->forecast) && this->forecast.stage_count > 0)
        TH_TRY(probe(this, err));
    if (this->world.rank == 0)
        rc = report(this, line->words[0], err);
    TH_TRY(th_agree(&this->world, rc, err));
out:
    return rc;
}

th_code th_verb_plan(const th_command_line *line, th_err *err)
{
    job *this = NULL;
    th_code rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *this, "a plan", (void **)&this, err));
    th_option_set set = { table, TABLE_COUNT, &this->options };
    TH_TRY(th_ranks_begin(line, &set, &this->options.started, TH_WARN, &this->world, err));
    TH_TRY(plan(this, line, err));
out:
    if (this) {
        th_forecast_close(&this->forecast);
        th_reader_close(this->reader);
        th_pack_close(this->train);
        th_pack_close(this->val);
        th_run_input_close(&this->files);
        th_ranks_end(&this->world, rc, err);
    }
    free(this);
    return rc;
}
