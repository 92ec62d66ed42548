#include "launch/verbs/inspect.h"

#include "base/hash.h"
#include "base/log.h"
#include "dataloader/image/image.h"
#include "dataloader/pack.h"
#include "launch/refused.h"
#include "launch/sheet.h"
#include "launch/verb.h"
#include "launch/verbs/dump_images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SAMPLES   256
#define SHOWN_CAPTIONS 8 // of a record
#define SHOWN_TOKENS   24

typedef struct {
    bool        verify;
    int64_t     sample, limit;
    const char *out, *dump_images;
} inspect_options;

static const th_option table[] = {
    TH_OPTION(inspect_options, "dump_images", dump_images, .when = TH_PER_START, .since = "0.2",
              .help = "write the stored pictures to this folder as PNG, with captions as .txt"),
    TH_OPTION(inspect_options, "limit", limit, .fallback = "0", .unit = "records", .max = 1e15,
              .when = TH_PER_START, .since = "0.2",
              .help = "with --dump-images: only the first so many records; 0: all"),
    TH_OPTION(inspect_options, "out", out, .when = TH_PER_START, .since = "0.1",
              .help = "with --sample: also write the pictures to this PNG file"),
    TH_OPTION(inspect_options, "sample", sample, .fallback = "0", .unit = "records",
              .max = MOST_SAMPLES, .when = TH_PER_START, .since = "0.1",
              .help = "show so many records, spread evenly over the pack"),
    TH_OPTION(inspect_options, "verify", verify, .fallback = "false", .when = TH_PER_START,
              .since = "0.1", .help = "read every record and shard against its hash"),
};

void th_inspect_verb_options(th_option_set *out_sets, int *out_count)
{
    out_sets[0] = (th_option_set){ table, sizeof table / sizeof *table, NULL };
    *out_count = 1;
}

static void print_pack(const char *folder, const th_pack_info *info)
{
    char     hash[TH_HASH_TEXT];
    uint64_t bytes = 0;

    for (int i = 0; i < info->shard_count; i++)
        bytes += info->shards[i].bytes;
    th_hash_print(info->tokenizer_hash, hash);
    printf("pack        %s\nrecords     %lld, with %lld captions (%.1f each)\n", folder,
           (long long)info->records, (long long)info->captions,
           info->records > 0 ? (double)info->captions / (double)info->records : 0);
    printf("pictures    %lld pixels%s", (long long)info->size, info->margin > 0 ? "" : "\n");
    if (info->margin > 0)
        printf(" and %lld more on the short side for crops\n", (long long)info->margin);
    printf("stored as   %s, resized by %s, normalized as %s\n", info->codec, info->filter,
           info->normalization);
    printf("tokenizer   vocabulary %lld, hash %s, cleanup %s\n", (long long)info->vocabulary, hash,
           *info->cleanup ? info->cleanup : "open_clip");
    printf("shards      %d, %.1f MB\n", info->shard_count, (double)bytes / 1e6);
    for (int i = 0; i < info->shard_count; i++) {
        th_hash_print(info->shards[i].hash, hash);
        printf("  %-24s %9lld records %10.1f MB  hash %s\n", info->shards[i].file,
               (long long)info->shards[i].records, (double)info->shards[i].bytes / 1e6, hash);
    }
}

static th_code print_quarantine(const char *folder, th_err *err)
{
    th_refused counts;
    th_code    rc = TH_OK;

    TH_TRY(th_refused_count(folder, &counts, err));
    printf("refused     %lld%s\n", (long long)counts.total,
           counts.total > 0 ? ", named in quarantine.jsonl:" : "");
    for (int i = 0; i < counts.reason_count; i++)
        printf("  %6lld  %s\n", (long long)counts.reasons[i].count, counts.reasons[i].reason);
    if (counts.others > 0)
        printf("  %6lld  for other reasons\n", (long long)counts.others);
out:
    return rc;
}

static void print_record(int64_t number, const th_record *record)
{
    printf("record %lld  id %016llx  %dx%d, %u bytes\n", (long long)number,
           (unsigned long long)record->sample_id, record->width, record->height,
           record->image_bytes);
    for (int i = 0; i < record->caption_count && i < SHOWN_CAPTIONS; i++) {
        const th_caption *caption = &record->captions[i];
        printf("  %.*s  [", (int)caption->text_bytes, caption->text);
        for (uint32_t t = 0; t < caption->token_count && t < SHOWN_TOKENS; t++)
            printf("%s%d", t > 0 ? " " : "", (int)caption->tokens[t]);
        printf("%s]\n", caption->token_count > SHOWN_TOKENS ? " ..." : "");
    }
    if (record->caption_count > SHOWN_CAPTIONS)
        printf("  and %d more\n", record->caption_count - SHOWN_CAPTIONS);
}

static th_code show_samples(th_pack *pack, int64_t count, const char *out, th_err *err)
{
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_image          pictures[MOST_SAMPLES] = { 0 };
    int64_t           records = th_pack_describe(pack)->records;
    th_record         record;
    th_code           rc = TH_OK;

    count = count < records ? count : records;
    for (int64_t i = 0; i < count; i++) {
        int64_t number = i * records / count;
        TH_TRY(th_pack_read(pack, number, &copy, &scratch, &record, err));
        print_record(number, &record);
        struct th_stored_picture stored = { .codec = record.codec,
                                            .width = record.width,
                                            .height = record.height,
                                            .bytes = record.image,
                                            .size = record.image_bytes };
        if (out)
            TH_TRY(th_image_restore(&stored, &pictures[i], err));
    }
    if (out) {
        TH_TRY(th_sheet_write(out, pictures, (int)count, (int)ceil(sqrt((double)count)), err));
        printf("%lld pictures written to %s\n", (long long)count, out);
    }
out:
    for (int64_t i = 0; i < count; i++)
        th_image_free(&pictures[i]);
    free(copy.bytes);
    free(scratch.bytes);
    return rc;
}

static void print_bad(void *context, int64_t record, const th_err *why)
{
    int64_t *bad = context;

    ++*bad;
    printf("bad         record %lld: %s\n", (long long)record, why->what);
}

static th_code verify(th_pack *pack, th_err *err)
{
    int64_t bad = 0;
    th_code rc = th_pack_verify(pack, print_bad, &bad, err);

    if (rc == TH_OK)
        printf("verified    every record and every shard is as it was packed\n");
    else if (rc == TH_EDATA)
        printf("NOT GOOD    %lld records do not hold\n", (long long)bad);
    return rc;
}

th_code th_verb_inspect(const th_command_line *line, th_err *err)
{
    inspect_options options;
    th_option_set   set = { table, sizeof table / sizeof *table, &options };
    th_pack        *pack = NULL;
    th_arena        pool = { 0 };
    th_code         rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_TRY(th_arena_open(&pool, (size_t)1 << 20, err));
    TH_TRY(th_command_line_apply(line, &set, 1, &pool, err));
    TH_CHECK(line->word_count == 1, TH_EUSAGE, "thaw inspect packs/x",
             "thaw inspect takes one pack, not %d words", line->word_count);
    TH_CHECK(!options.out || options.sample > 0, TH_EUSAGE, "say how many: --sample 16",
             "--out needs --sample");
    TH_CHECK(options.dump_images || options.limit == 0, TH_EUSAGE, "say where: --dump-images DIR",
             "--limit needs --dump-images");
    TH_TRY(th_pack_open(line->words[0], &pack, err));
    print_pack(line->words[0], th_pack_describe(pack));
    TH_TRY(print_quarantine(line->words[0], err));
    if (options.sample > 0)
        TH_TRY(show_samples(pack, options.sample, options.out, err));
    if (options.dump_images) {
        int64_t count;
        TH_TRY(th_dump_images(pack, options.dump_images, options.limit, &count, err));
        printf("dumped      %lld pictures to %s\n", (long long)count, options.dump_images);
    }
    if (options.verify)
        TH_TRY(verify(pack, err));
out:
    th_pack_close(pack);
    th_arena_close(&pool);
    return rc;
}
