#include "launch/verbs/train.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/progress.h"
#include "launch/ranks.h"
#include "launch/run_directory.h"
#include "launch/run_input.h"
#include "launch/signals.h"
#include "launch/verb.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    bool    accept_changes;
    int64_t ranks;
} launch_options;

static const th_option launch_table[] = {
    TH_OPTION(launch_options, "accept_changes", accept_changes, .fallback = "false",
              .when = TH_PER_START, .since = "0.2",
              .help = "go on although the run file was edited in what already happened"),
    TH_OPTION(launch_options, "n", ranks, .fallback = "0", .unit = "ranks", .max = 1 << 20,
              .when = TH_PER_START, .since = "0.1",
              .help = "start this many ranks with mpirun; 0: as the launcher did"),
};

#define LAUNCH_COUNT (int)(sizeof launch_table / sizeof *launch_table)

void th_train_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ th_train_table, th_train_table_count, NULL };
    out_sets[1] = (th_option_set){ launch_table, LAUNCH_COUNT, NULL };
    *out_count = 2;
}

// What one rank of a job holds beside the run itself.
typedef struct {
    th_world           world;
    launch_options     launch;
    th_run_input_files files;
    th_run_directory   directory; // rank 0
    th_progress        progress;
    bool               began; // the progress line
    th_eval_report     newest_eval;
} job;

static void on_step(void *context, const th_step_report *report)
{
    job *this = context;
    char text[256];

    if (this->world.rank != 0)
        return;
    if (!this->began)
        th_progress_begin(&this->progress, "train", report->step - 1);
    this->began = true;
    int used = 0;
    if (!this->files.schedule.single)
        used = snprintf(text, sizeof text, "%.60s (%lld of %d)  ", report->stage,
                        (long long)report->stage_number, this->files.schedule.stage_count);
    used += snprintf(text + used, sizeof text - (size_t)used, "step %lld", (long long)report->step);
    if (report->total_steps > 0)
        used += snprintf(text + used, sizeof text - (size_t)used, "/%lld",
                         (long long)report->total_steps);
    used += snprintf(text + used, sizeof text - (size_t)used, "  loss %.4f  %.1f samples/s",
                     report->loss, (double)report->batch / report->seconds);
    if (this->newest_eval.step > 0)
        (void)snprintf(text + used, sizeof text - (size_t)used, "  R@1 %.1f%%",
                       100 * this->newest_eval.retrieval.text_to_image[0]);
    th_progress_show(&this->progress, report->step, report->total_steps, text);
}

static void on_eval(void *context, const th_eval_report *report)
{
    job *this = context;
    const th_retrieval *found = &report->retrieval;

    this->newest_eval = *report;
    if (this->world.rank == 0)
        th_info("step %lld: val/loss %.4f, text to image R@1/5/10 %.1f/%.1f/%.1f %%, image to text "
                "%.1f/%.1f/%.1f %%",
                (long long)report->step, report->loss, 100 * found->text_to_image[0],
                100 * found->text_to_image[1], 100 * found->text_to_image[2],
                100 * found->image_to_text[0], 100 * found->image_to_text[1],
                100 * found->image_to_text[2]);
}

static void on_event(void *context, const th_stage_event *event)
{
    job *this = context;
    char text[96];

    (void)snprintf(text, sizeof text, "%.30s %s%s%.40s", event->stage, event->event,
                   event->group ? " " : "", event->group ? event->group : "");
    th_progress_event(&this->progress, text);
}

static bool stop_asked(void *context)
{
    const job *this = context;

    return th_signals_stop_asked() ||
           (this->world.rank == 0 && th_run_directory_halted(this->files.folder));
}

static th_code open_directory(job *this, const char *run_file, th_err *err)
{
    th_code rc = TH_OK;

    if (this->world.rank == 0)
        rc = th_run_directory_open(this->files.folder, run_file, &this->files.schedule,
                                   this->files.resolved, this->launch.accept_changes,
                                   &this->directory, err);
    return th_agree(&this->world, rc, err);
}

static th_code run(job *this, th_err *err)
{
    const char *folder = this->files.folder;
    th_code     rc = TH_OK;

    if (this->world.rank == 0)
        th_info("run \"%s\" on %d rank%s", folder, this->world.size,
                this->world.size == 1 ? "" : "s");
    this->files.input.hooks = (th_run_hooks){ .on_step = on_step,
                                              .on_eval = on_eval,
                                              .on_event = on_event,
                                              .stop_asked = stop_asked,
                                              .context = this };
    rc = th_run(&this->world, &this->files.input, err);
    if (this->began)
        th_progress_end(&this->progress);
    TH_TRY(rc);
    if (this->world.rank == 0)
        rc = th_run_directory_done(&this->directory, err);
    TH_TRY(th_agree(&this->world, rc, err));
    if (this->world.rank == 0)
        th_info("run \"%s\" is done", folder);
out:
    return rc;
}

th_code th_verb_train(const th_command_line *line, th_err *err)
{
    job this = { .directory = { .lock = -1 } };
    th_option_set set = { launch_table, LAUNCH_COUNT, &this.launch };
    th_code       rc = TH_OK;

    TH_TRY(th_ranks_begin(line, &set, &this.launch.ranks, TH_INFO, &this.world, err));
    TH_TRY(th_agree(&this.world, th_run_input_open(line, &this.files, err), err));
    TH_TRY(open_directory(&this, line->words[0], err));
    TH_TRY(run(&this, err));
out:
    th_run_directory_close(&this.directory);
    th_run_input_close(&this.files);
    th_ranks_end(&this.world, rc, err);
    return rc;
}
