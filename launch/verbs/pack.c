#include "launch/verbs/pack.h"

#include "base/log.h"
#include "dataloader/packer.h"
#include "launch/progress.h"
#include "launch/verb.h"

#include <stdio.h>

void th_pack_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ th_pack_table, th_pack_table_count, NULL };
    *out_count = 1;
}

static void show(void *context, const th_pack_progress *now)
{
    th_progress *progress = context;
    char         text[128];
    double       rate = now->seconds > 0 ? (double)now->read / now->seconds : 0;

    (void)snprintf(text, sizeof text, "%s %lld pictures, %lld refused, %.0f/s",
                   now->tokenizing ? "tokenizing" : "read", (long long)now->read,
                   (long long)now->quarantined, rate);
    th_progress_show(progress, now->bytes_done, now->bytes_total, text);
}

static void print_report(const th_pack_options *options, const th_pack_report *report)
{
    const th_pack_progress *total = &report->total;

    printf("packed %lld of %lld samples into %s", (long long)total->packed, (long long)total->read,
           options->to);
    if (total->packed_val > 0)
        printf(" and %lld into %s-val", (long long)total->packed_val, options->to);
    printf(" in %.1f s\n", total->seconds);
    printf("captions %lld, %.1f tokens each, vocabulary %lld\n", (long long)report->captions,
           report->mean_tokens, (long long)report->vocabulary);
    if (total->quarantined > 0)
        printf("refused %lld, named with the reason in %s/quarantine.jsonl:\n",
               (long long)total->quarantined, options->to);
    for (int i = 0; i < report->reason_count; i++)
        printf("  %6lld  %s\n", (long long)report->reasons[i].count, report->reasons[i].reason);
}

th_code th_verb_pack(const th_command_line *line, th_err *err)
{
    th_pack_options options;
    th_option_set   set = { th_pack_table, th_pack_table_count, &options };
    th_pack_report  report;
    th_progress     progress;
    th_arena        pool = { 0 };
    th_code         rc = TH_OK;

    th_log_setup(TH_INFO, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(line->word_count == 0, TH_EUSAGE, "thaw pack --from wds:'data/*.tar' --to packs/x",
             "thaw pack takes options only, not \"%s\"", line->words[0]);
    TH_CHECK(options.from && options.to, TH_EUSAGE,
             "thaw pack --from wds:'data/*.tar' --to packs/x", "option --%s is missing",
             options.from ? "to" : "from");
    th_progress_begin(&progress, "pack", 0);
    rc = th_pack_build(&options, show, &progress, &report, err);
    th_progress_end(&progress);
    TH_TRY(rc);
    print_report(&options, &report);
out:
    th_arena_close(&pool);
    return rc;
}
