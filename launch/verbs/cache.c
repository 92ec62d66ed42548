#include "launch/verbs/cache.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "dataloader/feature_cache.h"
#include "launch/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool all;
} rm_options;

static const th_option rm_table[] = {
    TH_OPTION(rm_options, "all", all, .fallback = "false", .when = TH_PER_START, .since = "0.2",
              .help = "remove every cache of the folder"),
};

void th_cache_rm_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ rm_table, 1, NULL };
    *out_count = 1;
}

// A run directory's cache/, or the folder of caches itself.
static th_code find_folder(const th_command_line *line, int words, char *out, size_t size,
                           th_err *err)
{
    char    config[4096];
    th_code rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_CHECK(line->word_count == words, TH_EUSAGE, "see thaw help cache ls",
             "thaw %s takes %d word%s, not %d", line->verb, words, words == 1 ? "" : "s",
             line->word_count);
    bool run = (th_path_join(config, sizeof config, line->words[0], "config.resolved.yaml") &&
                th_path_exists(config)) ||
               (th_path_join(config, sizeof config, line->words[0], "cache") &&
                th_path_exists(config)); // built before the run
    TH_CHECK(run ? th_path_join(out, size, line->words[0], "cache")
                 : (size_t)snprintf(out, size, "%s", line->words[0]) < size,
             TH_EUSAGE, "use a shorter path", "path \"%s\" is too long", line->words[0]);
out:
    return rc;
}

th_code th_verb_cache_ls(const th_command_line *line, th_err *err)
{
    th_feature_cache_entry *entries = NULL;
    char                    folder[4096], key[TH_HASH_TEXT];
    int                     count;
    th_code                 rc = TH_OK;

    TH_TRY(find_folder(line, 1, folder, sizeof folder, err));
    TH_TRY(th_feature_cache_list(folder, &entries, &count, err));
    for (int i = 0; i < count; i++) {
        const th_feature_cache_entry *entry = &entries[i];
        th_hash_print(entry->key, key);
        printf("%s  %-5s  %-26s  %9lld rows  %3lld view%s  %9.1f MB  ", key, entry->about.tower,
               entry->about.cut, (long long)entry->rows, (long long)entry->views,
               entry->views == 1 ? " " : "s", (double)entry->bytes / 1e6);
        if (*entry->wrong)
            printf("%s\n", entry->wrong);
        else
            printf("%s  %s  %s\n", entry->about.description, entry->about.input,
                   entry->about.kernels);
    }
    if (count == 0)
        printf("no cache in %s\n", folder);
out:
    free(entries);
    return rc;
}

static th_code remove_all(const char *folder, th_err *err)
{
    th_feature_cache_entry *entries = NULL;
    int                     count;
    th_code                 rc = TH_OK;

    TH_TRY(th_feature_cache_list(folder, &entries, &count, err));
    for (int i = 0; i < count; i++)
        TH_TRY(th_feature_cache_remove(folder, entries[i].key, err));
    printf("%d removed\n", count);
out:
    free(entries);
    return rc;
}

th_code th_verb_cache_rm(const th_command_line *line, th_err *err)
{
    rm_options    options;
    th_option_set set = { rm_table, 1, &options };
    char          folder[4096];
    uint64_t      key;
    th_code       rc = TH_OK;

    TH_TRY(th_command_line_apply(line, &set, 1, NULL, err));
    TH_TRY(find_folder(line, options.all ? 1 : 2, folder, sizeof folder, err));
    if (options.all)
        return remove_all(folder, err);
    TH_CHECK(th_hash_parse(line->words[1], &key), TH_EUSAGE, "copy it from thaw cache ls",
             "\"%s\" is not the key of a cache", line->words[1]);
    TH_TRY(th_feature_cache_remove(folder, key, err));
out:
    return rc;
}
