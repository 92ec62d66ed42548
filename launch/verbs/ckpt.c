#include "launch/verbs/ckpt.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/generations.h"
#include "launch/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    bool names;
} show_options;

static const th_option show_table[] = {
    TH_OPTION(show_options, "names", names, .fallback = "false", .when = TH_PER_START,
              .since = "0.1", .help = "list every parameter with its statistics"),
};

void th_ckpt_show_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ show_table, 1, NULL };
    *out_count = 1;
}

// The folder of checkpoints in a run directory.
static th_code checkpoint_folder(const th_command_line *line, char *out, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_CHECK(line->word_count == 1, TH_EUSAGE, "name one run directory",
             "thaw %s takes one run directory, not %d words", line->verb, line->word_count);
    TH_CHECK(th_path_join(out, size, line->words[0], "ckpt"), TH_EUSAGE, "use a shorter path",
             "path \"%s\" is too long", line->words[0]);
    TH_CHECK(th_path_exists(out), TH_EDATA, "name the folder that thaw train wrote",
             "\"%s\" is not a run directory: it has no ckpt/", line->words[0]);
out:
    return rc;
}

static void print_generation(const th_generation *generation, const char *verdict)
{
    time_t    time = (time_t)generation->time;
    struct tm utc;
    char      when[32] = "";

    if (generation->time > 0)
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%SZ", gmtime_r(&time, &utc));
    printf("%-18s step %-9lld samples %-12lld %9.1f MB  %s  %s\n", generation->name,
           (long long)generation->step, (long long)generation->samples_seen,
           (double)generation->bytes / 1e6, when, *generation->error ? generation->error : verdict);
}

th_code th_verb_ckpt_ls(const th_command_line *line, th_err *err)
{
    th_generation *generations = NULL;
    char           folder[4096];
    int            count;
    th_code        rc = TH_OK;

    TH_TRY(checkpoint_folder(line, folder, sizeof folder, err));
    TH_TRY(th_generations_list(folder, &generations, &count, err));
    for (int i = 0; i < count; i++)
        print_generation(&generations[i], "");
    if (count == 0)
        printf("no checkpoint in %s\n", folder);
out:
    free(generations);
    return rc;
}

th_code th_verb_ckpt_verify(const th_command_line *line, th_err *err)
{
    th_generation *generations = NULL;
    char           folder[4096];
    int            count, bad = 0;
    th_code        rc = TH_OK;

    TH_TRY(checkpoint_folder(line, folder, sizeof folder, err));
    TH_TRY(th_generations_list(folder, &generations, &count, err));
    for (int i = 0; i < count; i++) {
        th_err why = { 0 };
        if (!*generations[i].error && th_generation_verify(folder, &generations[i], &why) != TH_OK)
            (void)snprintf(generations[i].error, sizeof generations[i].error, "%s", why.what);
        bad += *generations[i].error != '\0';
        print_generation(&generations[i], "good");
    }
    TH_CHECK(bad == 0, TH_EDATA, "training goes on from the newest good one",
             "%d of %d checkpoints in \"%s\" are not good", bad, count, folder);
out:
    free(generations);
    return rc;
}

static th_code print_parameters(th_reader *reader, bool names, th_err *err)
{
    int                       count;
    const th_saved_parameter *rows = th_reader_parameters(reader, &count);
    int64_t                   elements = 0, with_moments = 0;
    th_code                   rc = TH_OK;

    for (int i = 0; i < count; i++) {
        const th_tensor *tensor = &rows[i].model;
        int64_t          size = 1;
        char             shape[96] = "";
        for (int k = 0; k < tensor->dimensions; k++) {
            size *= tensor->shape[k];
            (void)snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld",
                           k ? "x" : "", (long long)tensor->shape[k]);
        }
        elements += size;
        with_moments += rows[i].exp_avg ? size : 0;
        if (!names)
            continue;
        th_tensor_summary summary;
        TH_TRY(th_reader_summary(reader, i, &summary, err));
        printf("%-58s %-14s step %-8lld mean %+.3e deviation %.3e range %+.3e %+.3e%s\n",
               tensor->name, *shape ? shape : "scalar", (long long)rows[i].step, summary.mean,
               summary.deviation, summary.smallest, summary.largest,
               summary.not_finite ? "  NOT FINITE" : "");
    }
    printf("parameters    %d tensors, %lld numbers, %lld of them with moments\n", count,
           (long long)elements, (long long)with_moments);
out:
    return rc;
}

// The file that was named, or the newest good generation of the run that was.
static th_code open_named(const th_command_line *line, th_reader **out, th_err *err)
{
    char    folder[4096];
    size_t  length = line->word_count == 1 ? strlen(line->words[0]) : 0;
    th_code rc = TH_OK;

    if (length > 3 && strcmp(line->words[0] + length - 3, ".h5") == 0) {
        th_log_setup(TH_WARN, -1);
        return th_reader_open(line->words[0], out, err);
    }
    TH_TRY(checkpoint_folder(line, folder, sizeof folder, err));
    TH_TRY(th_reader_open_newest(folder, out, NULL, err));
    TH_CHECK(*out, TH_EDATA, "train it first: thaw train", "no checkpoint in \"%s\"", folder);
out:
    return rc;
}

th_code th_verb_ckpt_show(const th_command_line *line, th_err *err)
{
    show_options  options;
    th_option_set set = { show_table, 1, &options };
    th_reader    *reader = NULL;
    th_code       rc = TH_OK;

    TH_TRY(th_command_line_apply(line, &set, 1, NULL, err));
    TH_TRY(open_named(line, &reader, err));
    const th_saved_state *state = th_reader_state(reader);
    printf("step          %lld\nsamples seen  %lld\nstage         %lld, step %lld of it\n"
           "seed          %llu\nranks         %lld\nskipped       %lld steps\n",
           (long long)state->step, (long long)state->samples_seen, (long long)state->stage,
           (long long)state->stage_step, (unsigned long long)state->seed,
           (long long)state->world_size, (long long)state->skipped);
    TH_TRY(print_parameters(reader, options.names, err));
    printf("configuration\n%s", th_reader_config(reader));
out:
    th_reader_close(reader);
    return rc;
}
