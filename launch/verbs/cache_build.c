/* launch/verbs/cache_build.c - `thaw cache build`: what frozen towers make of each sample, computed
 * ahead of the training. */
#include "trainer/cache_build.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/progress.h"
#include "launch/ranks.h"
#include "launch/run_input.h"
#include "launch/signals.h"
#include "launch/verb.h"
#include "launch/verbs/cache.h"

#include <stdlib.h>

typedef struct {
    int64_t     ranks;
    const char *stage;
} build_options;

static const th_option table[] = {
    TH_OPTION(build_options, "n", ranks, .fallback = "0", .unit = "ranks", .max = 1 << 20,
              .when = TH_PER_START, .since = "0.2",
              .help = "start this many ranks with mpirun; 0: as the launcher did"),
    TH_OPTION(build_options, "stage", stage, .when = TH_PER_START, .since = "0.2",
              .help = "name of the stage; by default the first one with a frozen tower whose "
                      "weights are known"),
};

void th_cache_build_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ th_train_table, th_train_table_count, NULL };
    out_sets[1] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 2;
}

typedef struct {
    th_world           world;
    build_options      options;
    th_run_input_files files;
    th_progress        progress;
    bool               began; // the progress line
} job;

static void on_progress(void *context, const th_cache_build_report *report)
{
    job *this = context;
    char text[192];

    if (this->world.rank != 0)
        return;
    if (!this->began) {
        th_info("stage \"%s\": computing what the frozen%s%s tower%s of %lld pictures",
                report->stage, report->tower[0] ? " image" : "", report->tower[1] ? " text" : "",
                report->tower[0] && report->tower[1] ? "s make" : " makes",
                (long long)report->total);
        th_progress_begin(&this->progress, "cache", 0);
    }
    this->began = true;
    (void)snprintf(text, sizeof text, "%s  %lld/%lld pictures", report->stage,
                   (long long)report->done, (long long)report->total);
    th_progress_show(&this->progress, report->done, report->total, text);
}

static bool stop_asked(void *context)
{
    (void)context;
    return th_signals_stop_asked();
}

static th_code build(job *this, const th_command_line *line, th_err *err)
{
    const th_cache_build_hooks hooks = { on_progress, stop_asked, this };
    th_cache_build_report      report;
    th_code                    rc = TH_OK;

    TH_TRY(th_agree(&this->world, th_run_input_open(line, &this->files, err), err));
    rc =
        th_cache_build(&this->world, &this->files.input, this->options.stage, &hooks, &report, err);
    if (this->began)
        th_progress_end(&this->progress);
    TH_TRY(rc);
    if (this->world.rank == 0)
        th_info(
            "the cache of stage \"%s\" is whole: %lld rows were computed, the others were there",
            report.stage, (long long)report.computed);
out:
    return rc;
}

th_code th_verb_cache_build(const th_command_line *line, th_err *err)
{
    job this = { 0 };
    th_option_set set = { table, sizeof table / sizeof *table, &this.options };
    th_code       rc = TH_OK;

    TH_TRY(th_ranks_begin(line, &set, &this.options.ranks, TH_INFO, &this.world, err));
    TH_TRY(build(&this, line, err));
out:
    th_run_input_close(&this.files);
    th_ranks_end(&this.world, rc, err);
    return rc;
}
