#include "launch/verbs/pack.h"

#include "base/log.h"
#include "comm/agree.h"
#include "dataloader/packer.h"
#include "launch/launcher.h"
#include "launch/progress.h"
#include "launch/ranks.h"
#include "launch/verb.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    bool json;
} pack_verb_options;

static const th_option table[] = {
    TH_OPTION(pack_verb_options, "json", json, .fallback = "false", .when = TH_PER_START,
              .since = "0.2", .help = "print the report as JSON"),
};

void th_pack_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ th_pack_table, th_pack_table_count, NULL };
    out_sets[1] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 2;
}

static void show(void *context, const th_pack_progress *now)
{
    th_progress *progress = context;
    char         text[128];
    double       rate = now->seconds > 0 ? (double)now->read / now->seconds : 0;

    if (now->looking)
        (void)snprintf(text, sizeof text, "looking at captions of %lld samples",
                       (long long)now->read);
    else
        (void)snprintf(text, sizeof text, "%lld pictures, %lld refused, %.0f/s",
                       (long long)now->read, (long long)now->quarantined, rate);
    th_progress_show(progress, now->done, now->to_do, text);
}

// Samples of this start in a second.
static double rate_of(const th_pack_report *report)
{
    double seconds = report->total.seconds;

    return seconds > 0 ? (double)(report->total.read - report->kept) / seconds : 0;
}

static void print_sizes(const th_pack_report *report)
{
    printf("shards %lld, %.1f MB\n", (long long)report->shards, (double)report->bytes / 1e6);
    printf("pictures, short side: %lld to %lld pixels, median %lld; %lld enlarged\n",
           (long long)report->side_least, (long long)report->side_most,
           (long long)report->side_median, (long long)report->enlarged);
    printf("captions, tokens: median %lld, 95 %% up to %lld, longest %lld%s; %lld longer than a "
           "context of %lld holds\n",
           (long long)report->tokens_median, (long long)report->tokens_95,
           (long long)report->tokens_most,
           report->tokens_most == TH_RECORD_TOKENS ? " or more" : "",
           (long long)report->over_context, (long long)report->context);
}

static void print_report(const th_pack_options *options, const th_pack_report *report)
{
    const th_pack_progress *total = &report->total;

    if (report->done_before) {
        printf("%s was packed before, only cleaning up was left\n", options->to);
        return;
    }
    printf("packed %lld of %lld samples into %s", (long long)total->packed, (long long)total->read,
           options->to);
    if (total->packed_val > 0)
        printf(" and %lld into %s-val", (long long)total->packed_val, options->to);
    printf(" in %.1f s, %.0f/s", total->seconds, rate_of(report));
    if (report->kept > 0)
        printf("; %lld were done before", (long long)report->kept);
    printf("\ncaptions %lld, %.1f tokens each, vocabulary %lld\n", (long long)report->captions,
           report->mean_tokens, (long long)report->vocabulary);
    print_sizes(report);
    if (total->quarantined > 0)
        printf("refused %lld, named with the reason in %s/quarantine.jsonl:\n",
               (long long)total->quarantined, options->to);
    for (int i = 0; i < report->reason_count; i++)
        printf("  %6lld  %s\n", (long long)report->reasons[i].count, report->reasons[i].reason);
}

static th_code print_json(const th_pack_options *options, const th_pack_report *report, th_err *err)
{
    const th_pack_progress *total = &report->total;
    th_code                 rc = TH_OK;
    char                   *text = NULL;
    json_t                 *reasons = json_object(), *root = NULL;

    for (int i = 0; reasons && i < report->reason_count; i++)
        if (json_object_set_new(reasons, report->reasons[i].reason,
                                json_integer(report->reasons[i].count)) != 0)
            goto print;
    root = json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, "
        "s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}, s:O}",
        "to", options->to, "done_before", report->done_before, "read", (json_int_t)total->read,
        "kept", (json_int_t)report->kept, "packed", (json_int_t)total->packed, "packed_val",
        (json_int_t)total->packed_val, "refused", (json_int_t)total->quarantined, "seconds",
        total->seconds, "samples_per_second", rate_of(report), "shards", (json_int_t)report->shards,
        "bytes", (json_int_t)report->bytes, "captions", (json_int_t)report->captions, "vocabulary",
        (json_int_t)report->vocabulary, "mean_tokens", report->mean_tokens, "short_side", "least",
        (json_int_t)report->side_least, "median", (json_int_t)report->side_median, "most",
        (json_int_t)report->side_most, "enlarged", (json_int_t)report->enlarged, "tokens", "median",
        (json_int_t)report->tokens_median, "percentile_95", (json_int_t)report->tokens_95, "most",
        (json_int_t)report->tokens_most, "context", (json_int_t)report->context, "over_context",
        (json_int_t)report->over_context, "reasons", reasons);
print:
    text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    TH_CHECK(text, TH_EIO, "free some memory", "could not print the report: out of memory");
    printf("%s\n", text);
out:
    free(text);
    json_decref(root);
    json_decref(reasons);
    return rc;
}

// --- ranks ---

static th_code team_agree(void *context, th_code code, th_err *err)
{
    return th_agree(context, code, err);
}

static th_code team_share(void *context, void *bytes, size_t size, int root, th_err *err)
{
    return th_world_broadcast(context, bytes, size, root, err);
}

static th_code read_options(const th_command_line *line, const th_option_set *sets, th_arena *pool,
                            th_err *err)
{
    const th_pack_options *options = sets->values;
    th_code                rc = TH_OK;

    TH_TRY(th_arena_open(pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, sets, 2, pool, err));
    TH_CHECK(line->word_count == 0, TH_EUSAGE, "thaw pack --from wds:'data/*.tar' --to packs/x",
             "thaw pack takes options only, not \"%s\"", line->words[0]);
    TH_CHECK(options->from && options->to, TH_EUSAGE,
             "thaw pack --from wds:'data/*.tar' --to packs/x", "option --%s is missing",
             options->from ? "to" : "from");
out:
    return rc;
}

static th_code pack(th_world *world, const th_command_line *line, th_err *err)
{
    th_pack_options   options;
    pack_verb_options own;
    th_option_set     sets[] = { { th_pack_table, th_pack_table_count, &options },
                                 { table, sizeof table / sizeof *table, &own } };
    th_pack_team      team = { .context = world,
                               .rank = world->rank,
                               .ranks = world->size,
                               .host_ranks = th_world_host_ranks(world),
                               .agree = team_agree,
                               .share = team_share };
    th_pack_report    report;
    th_progress       progress;
    th_arena          pool = { 0 };
    bool              lead = world->rank == 0;
    th_code           rc = read_options(line, sets, &pool, err);

    TH_TRY(th_agree(world, rc, err));
    if (lead)
        th_progress_begin(&progress, "pack", 0);
    rc = th_pack_build_together(&options, &team, lead ? show : NULL, &progress, &report, err);
    if (lead)
        th_progress_end(&progress);
    TH_TRY(rc);
    if (lead && own.json)
        rc = print_json(&options, &report, err);
    else if (lead)
        print_report(&options, &report);
    TH_TRY(th_agree(world, rc, err));
out:
    th_arena_close(&pool);
    return rc;
}

th_code th_verb_pack(const th_command_line *line, th_err *err)
{
    th_world world = { .size = 1 };
    th_code  rc = TH_OK;

    if (th_launched()) // alone it needs no MPI, and most packing is done alone
        TH_TRY(th_ranks_begin(line, NULL, NULL, TH_INFO, &world, err));
    else
        th_log_setup(TH_INFO, -1);
    TH_TRY(pack(&world, line, err));
out:
    th_ranks_end(&world, rc, err);
    return rc;
}
