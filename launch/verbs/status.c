#include "launch/verbs/status.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/generations.h"
#include "launch/progress.h"
#include "launch/run_directory.h"
#include "launch/verb.h"
#include "trainer/status.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_BYTES ((size_t)1 << 20)

typedef struct {
    bool json;
} status_options;

static const th_option status_table[] = {
    TH_OPTION(status_options, "json", json, .fallback = "false", .when = TH_PER_START,
              .since = "0.2", .help = "print one JSON object"),
};

void th_status_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ status_table, 1, NULL };
    *out_count = 1;
}

static th_code read_status(const char *folder, json_t **out, th_err *err)
{
    char         path[4096], *text = NULL;
    size_t       size;
    json_error_t problem;
    th_code      rc = TH_OK;

    TH_CHECK(
        th_path_join(path, sizeof path, folder, "config.resolved.yaml") && th_path_exists(path),
        TH_EDATA, "name the folder that thaw train wrote", "\"%s\" is not a run directory", folder);
    TH_CHECK(th_path_join(path, sizeof path, folder, TH_STATUS_FILE) && th_path_exists(path),
             TH_EDATA, "look into its log.txt; it is written when the first step begins",
             "run \"%s\" has no %s", folder, TH_STATUS_FILE);
    TH_TRY(th_file_read(path, STATUS_BYTES, &text, &size, err));
    *out = json_loads(text, 0, &problem);
    TH_CHECK(json_is_object(*out) && json_is_array(json_object_get(*out, "groups")), TH_EDATA,
             "the run writes it anew within a second; is it one of thaw's?",
             "cannot read \"%s\": %s", path, *out ? "it has no groups" : problem.text);
out:
    free(text);
    if (rc != TH_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

// What the folder says beside the run's own words: does a process hold it, was it asked to stop,
// has it reached its end? A run that says it trains, and that nobody holds, was killed.
static th_code judge(const char *folder, json_t *status, th_err *err)
{
    const char *says = json_string_value(json_object_get(status, "state"));
    char        path[4096], owner[320];
    bool        held;
    th_code     rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, folder, "lock"), TH_EUSAGE, "use a shorter path",
             "path \"%s/lock\" is too long", folder);
    TH_TRY(th_file_locked(path, &held, owner, sizeof owner, err));
    const char *state = says ? says : "";
    if (held)
        state = th_run_directory_halted(folder) ? "stopping" : "running";
    else if (strcmp(state, "training") == 0)
        state = "killed";
    (void)json_object_set_new(status, "state", json_string(state));
    (void)json_object_set_new(status, "owner", held ? json_string(owner) : json_null());
out:
    return rc;
}

// The newest checkpoint that has its manifest; it is not read.
static th_code add_checkpoint(const char *folder, json_t *status, th_err *err)
{
    th_generation *generations = NULL;
    char           path[4096];
    int            count, i = 0;
    th_code        rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, folder, "ckpt"), TH_EUSAGE, "use a shorter path",
             "path \"%s/ckpt\" is too long", folder);
    TH_TRY(th_generations_list(path, &generations, &count, err));
    while (i < count && *generations[i].error)
        i++;
    json_t *newest = i < count ? json_pack("{s:s, s:I, s:I, s:I}", "name", generations[i].name,
                                           "step", (json_int_t)generations[i].step, "bytes",
                                           (json_int_t)generations[i].bytes, "time",
                                           (json_int_t)generations[i].time)
                               : json_null();
    (void)json_object_set_new(status, "checkpoint", newest);
out:
    free(generations);
    return rc;
}

static double number(const json_t *of, const char *key)
{
    return json_number_value(json_object_get(of, key)); // 0 when it is none
}

static const char *word(const json_t *of, const char *key)
{
    const char *text = json_string_value(json_object_get(of, key));

    return text ? text : "";
}

// "86.2 M"
static const char *print_count(double count, char out[24])
{
    const char *unit = count >= 1e9 ? " G" : count >= 1e6 ? " M" : count >= 1e3 ? " K" : "";
    double      scale = count >= 1e9 ? 1e9 : count >= 1e6 ? 1e6 : count >= 1e3 ? 1e3 : 1;

    (void)snprintf(out, 24, "%.*f%s", *unit ? 1 : 0, count / scale, unit);
    return out;
}

static void print_run(const json_t *run, const char *indent)
{
    const json_t *rate = json_object_get(run, "lr");
    double        parameters = number(run, "parameters"), trainable = number(run, "trainable");
    char          all[24], some[24];

    printf("%s%-*s %-8s", indent, 24 - (int)strlen(indent), word(run, "groups"),
           word(run, "state"));
    if (trainable > 0 && trainable < parameters)
        printf(" %9s of %s", print_count(trainable, some), print_count(parameters, all));
    else
        printf(" %9s", print_count(parameters, all));
    if (json_is_array(rate))
        printf("  lr %.3g to %.3g", json_number_value(json_array_get(rate, 0)),
               json_number_value(json_array_get(rate, 1)));
    else if (rate)
        printf("  lr %.3g", json_number_value(rate));
    if (json_object_get(run, "warmup_steps"))
        printf("  %.0f of %.0f steps of its warm-up", number(run, "warmup_step"),
               number(run, "warmup_steps"));
    printf("\n");
}

enum { IMAGE, TEXT, NEITHER };

static int tower_of(const char *pattern)
{
    return strncmp(pattern, "image", 5) == 0  ? IMAGE
           : strncmp(pattern, "text", 4) == 0 ? TEXT
                                              : NEITHER;
}

static void print_runs(const json_t *status, int tower, const char *indent)
{
    const json_t *groups = json_object_get(status, "groups");

    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *run = json_array_get(groups, i);
        if (tower_of(word(run, "groups")) == tower)
            print_run(run, indent);
    }
}

static void print_groups(const json_t *status)
{
    static const char *const towers[] = { "image", "text" };
    char                     all[24], some[24];

    for (int t = 0; t < NEITHER; t++) {
        const json_t *tower = json_object_get(status, towers[t]);
        printf("%-12s %s of %s parameters train\n", towers[t],
               print_count(number(tower, "trainable"), some),
               print_count(number(tower, "parameters"), all));
        print_runs(status, t, "  ");
    }
    print_runs(status, NEITHER, "");
}

static void print_progress(const json_t *status)
{
    const json_t *stage = json_object_get(status, "stage");
    double        step = number(status, "step"), steps = number(status, "steps");
    double        seconds = number(status, "seconds_per_step");
    char          left[32];

    printf("step         %.0f", step);
    if (steps > 0)
        printf(" of %.0f, %.0f%%", steps, 100 * step / steps);
    printf(", %.0f samples, epoch %.2f\n", number(status, "samples_seen"), number(status, "epoch"));
    printf("stage        %s, %.0f of %.0f: step %.0f", word(stage, "name"), number(stage, "number"),
           number(stage, "of"), number(stage, "step"));
    if (number(stage, "steps") > 0)
        printf(" of %.0f\n", number(stage, "steps"));
    else
        printf(", until its trigger\n");
    if (!json_object_get(status, "loss"))
        return; // no step since the start
    printf("loss         %.6g, norm of the gradient %.4g\n", number(status, "loss"),
           number(status, "grad_norm"));
    printf("speed        %.4g s a step, %.1f samples/s", seconds,
           number(status, "samples_per_second"));
    if (steps > step && strcmp(word(status, "state"), "running") == 0) {
        th_progress_time(seconds * (steps - step), left, sizeof left);
        printf(", %s left", left);
    }
    printf("\n");
}

static void print_status(const char *folder, const json_t *status)
{
    const json_t *checkpoint = json_object_get(status, "checkpoint");
    const char   *state = word(status, "state"), *owner = word(status, "owner");
    double        now = (double)time(NULL);
    char          age[32];

    th_progress_time(now - number(status, "time"), age, sizeof age);
    printf("%s: %s%s%s, %.0f rank%s; this was so %s ago\n", folder, state, *owner ? " on " : "",
           owner, number(status, "ranks"), number(status, "ranks") == 1 ? "" : "s", age);
    if (*word(status, "error"))
        printf("error        %s\n", word(status, "error"));
    print_progress(status);
    printf("lr           %.4g\n", number(status, "lr"));
    if (json_is_object(checkpoint)) {
        th_progress_time(now - number(checkpoint, "time"), age, sizeof age);
        printf("checkpoint   step %.0f, %s ago, %.1f MB: ckpt/%s\n", number(checkpoint, "step"),
               age, number(checkpoint, "bytes") / 1e6, word(checkpoint, "name"));
    } else {
        printf("checkpoint   none yet\n");
    }
    print_groups(status);
}

th_code th_verb_status(const th_command_line *line, th_err *err)
{
    status_options options;
    th_option_set  set = { status_table, 1, &options };
    json_t        *status = NULL;
    char          *text = NULL;
    th_code        rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_command_line_apply(line, &set, 1, NULL, err));
    TH_CHECK(line->word_count == 1, TH_EUSAGE, "thaw status RUN",
             "thaw status takes one run directory, not %d words", line->word_count);
    TH_TRY(read_status(line->words[0], &status, err));
    TH_TRY(judge(line->words[0], status, err));
    TH_TRY(add_checkpoint(line->words[0], status, err));
    if (!options.json) {
        print_status(line->words[0], status);
        goto out;
    }
    text = json_dumps(status, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    TH_CHECK(text, TH_EIO, "free some memory", "could not print the status: no memory");
    printf("%s\n", text);
out:
    free(text);
    json_decref(status);
    return rc;
}
