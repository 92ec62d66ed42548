// Two passes. The first reads, judges, resizes and encodes; records without tokens go to the spools
// of the train and the validation part. Then the tokenizer is trained, if asked, and the second
// pass tokenizes each spool into shards. dataset.json comes last, so what is there is whole.
#include "dataloader/packer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"
#include "dataloader/packer_ordered.h"
#include "dataloader/packer_part.h"
#include "dataloader/packer_quarantine.h"
#include "dataloader/packer_sample.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_SECONDS 0.2
#define VAL_SEED     0 // the split is part of the format: a sample's key alone decides
#define VAL_SUFFIX   "-val"

typedef enum { TRAIN, VAL, PARTS } part_name;

typedef struct {
    const th_pack_options *options;
    int                    threads;
    th_source             *source;
    th_pack_part           parts[PARTS];
    th_sample_maker       *makers; // one a thread
    th_quarantine          quarantine;
    th_tokenizer          *tokenizer;
    th_pack_report         report;
    double                 started, ticked;
    int64_t                bytes_before; // second pass: of the part that is done
    void (*progress)(void *context, const th_pack_progress *now);
    void *context;
} packer;

typedef struct {
    th_item        item;
    unsigned char *record; // NULL: refused
    size_t         record_size;
} sample;

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void report_progress(packer *p, bool always)
{
    double time = now();

    p->report.total.seconds = time - p->started;
    if (!p->progress || (!always && time - p->ticked < TICK_SECONDS))
        return;
    p->ticked = time;
    p->progress(p->context, &p->report.total);
}

// --- first pass ---

static th_code take(void *context, void *slot, bool *out_more, th_err *err)
{
    packer *p = context;
    sample *s = slot;

    return th_source_next(p->source, &s->item, out_more, err);
}

static th_code make(void *context, int thread, void *slot, th_err *err)
{
    packer *p = context;
    sample *s = slot;

    if (s->item.reason[0])
        return TH_OK;
    return th_sample_make(&p->makers[thread], p->options, &s->item, &s->record, &s->record_size,
                          err);
}

static void clear(void *context, void *slot)
{
    sample *s = slot;

    (void)context;
    th_item_free(&s->item);
    free(s->record);
    *s = (sample){ 0 };
}

// A pure function of the key: the same picture is on the same side in every pack of the data.
static part_name part_of(const th_pack_options *options, const char *key)
{
    th_rng rng;

    th_rng_init(&rng, VAL_SEED, TH_FOR_PACK, 0, th_hash(key, strlen(key)));
    return th_rng_uniform(&rng) < options->val ? VAL : TRAIN;
}

static th_code give(void *context, void *slot, th_err *err)
{
    packer           *p = context;
    sample           *s = slot;
    th_pack_progress *total = &p->report.total;
    th_code           rc = TH_OK;

    total->read++;
    if (s->record) {
        part_name part = part_of(p->options, s->item.key);
        TH_TRY(th_pack_part_add(&p->parts[part], s->record, s->record_size, err));
        if (part == TRAIN)
            total->packed++;
        else
            total->packed_val++;
    } else {
        TH_TRY(th_quarantine_add(&p->quarantine, &s->item, &p->report, err));
        total->quarantined++;
    }
    clear(p, s);
out:
    return rc;
}

static void tick_first(void *context)
{
    packer *p = context;

    th_source_progress(p->source, &p->report.total.bytes_done, &p->report.total.bytes_total);
    report_progress(p, false);
}

static th_code first_pass(packer *p, th_err *err)
{
    th_code                 rc = TH_OK;
    const th_pack_progress *total = &p->report.total;
    void                   *memory;
    th_ordered_job          job = { .context = p,
                                    .threads = p->threads,
                                    .slot_bytes = sizeof(sample),
                                    .take = take,
                                    .work = make,
                                    .give = give,
                                    .tick = tick_first,
                                    .drop = clear };

    TH_TRY(th_alloc((size_t)p->threads, sizeof *p->makers, "packing", &memory, err));
    p->makers = memory;
    TH_TRY(th_ordered_run(&job, err));
    for (int i = 0; i < p->threads; i++) // before the tokenizer needs the memory
        th_sample_maker_close(&p->makers[i]);
    TH_TRY(th_quarantine_commit(&p->quarantine, &p->report, err));
    TH_CHECK(total->packed > 0, TH_EDATA, "see quarantine.jsonl in the folder of the pack",
             "nothing could be packed from %s: %lld samples, %lld quarantined, mostly for: %s",
             p->options->from, (long long)total->read, (long long)total->quarantined,
             p->report.reason_count > 0 ? p->report.reasons[0].reason : "no reason");
    TH_CHECK(p->options->val == 0 || total->packed_val > 0, TH_EUSAGE, "use a larger val",
             "of %lld samples none fell to the validation pack", (long long)total->packed);
out:
    return rc;
}

// --- tokenizer ---

static th_cleanup cleanup_of(const th_pack_options *options)
{
    th_cleanup cleanup = TH_CLEANUP_DEFAULT;

    if (options->cleanup)
        (void)th_cleanup_find(options->cleanup, &cleanup);
    return cleanup;
}

static void tick_training(void *context)
{
    report_progress(context, false);
}

static th_code train_tokenizer(packer *p, th_err *err)
{
    th_code           rc = TH_OK;
    th_caption_reader reader = { .part = &p->parts[TRAIN], .tick = tick_training, .context = p };
    th_cleanup        cleanup = cleanup_of(p->options);
    char             *merges = NULL;
    size_t            size;

    TH_TRY(th_spool_rewind(p->parts[TRAIN].spool, err));
    rc = th_tokenizer_train(th_caption_reader_next, &reader, p->options->bpe, cleanup, &merges,
                            &size, err);
    if (reader.rc != TH_OK) { // the captions ended there, and not because there were no more
        rc = reader.rc;
        if (err)
            *err = reader.err;
    }
    TH_TRY(rc);
    TH_TRY(th_tokenizer_open_as(merges, size, cleanup, &p->tokenizer, err));
out:
    free(merges);
    free(reader.buffer);
    free(reader.scratch.bytes);
    return rc == TH_OK ? TH_OK : th_during(err, "training the tokenizer");
}

// --- second pass ---

static void tick_second(void *context, int64_t done_bytes)
{
    packer *p = context;

    p->report.total.bytes_done = p->bytes_before + done_bytes;
    report_progress(p, false);
}

static int part_count(const packer *p)
{
    return p->options->val > 0 ? PARTS : 1;
}

static th_code second_pass(packer *p, th_err *err)
{
    th_code           rc = TH_OK;
    th_pack_progress *total = &p->report.total;

    total->tokenizing = true;
    total->bytes_done = total->bytes_total = 0;
    for (int i = 0; i < part_count(p); i++)
        total->bytes_total += th_spool_bytes(p->parts[i].spool);
    if (!p->tokenizer)
        TH_TRY(train_tokenizer(p, err));
    for (int i = 0; i < part_count(p); i++) {
        TH_TRY(th_pack_part_write(&p->parts[i], p->options, p->tokenizer, p->threads, tick_second,
                                  p, err));
        p->bytes_before += th_spool_bytes(p->parts[i].spool);
    }
    // The train pack last: as long as it has no dataset.json, the same command begins anew.
    for (int i = part_count(p) - 1; i >= 0; i--)
        TH_TRY(th_pack_part_commit(&p->parts[i], p->options, p->tokenizer, err));
out:
    return rc;
}

// --- all of it ---

static int count_threads(const th_pack_options *options)
{
    cpu_set_t set;

    if (options->threads > 0)
        return (int)options->threads;
    if (sched_getaffinity(0, sizeof set, &set) == 0) // what Slurm gave us, not what the node has
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static th_code check_options(const th_pack_options *options, th_err *err)
{
    th_code  rc = TH_OK;
    th_codec codec;

    TH_CHECK(options->from && options->to, TH_EUSAGE, "name a source and a folder",
             "nothing to pack: no %s", options->from ? "--to" : "--from");
    TH_CHECK(options->size >= 1 && options->margin >= 0 &&
                 options->size + options->margin <= TH_RECORD_SIDE,
             TH_EUSAGE, "use a smaller size and margin",
             "size %lld and margin %lld: a record holds pictures of 1 to %d pixels a side",
             (long long)options->size, (long long)options->margin, TH_RECORD_SIDE);
    TH_CHECK(options->caption_bytes >= 1 && options->caption_bytes <= TH_RECORD_CAPTION_BYTES,
             TH_EUSAGE, "use a smaller number", "captions of %lld bytes: a record holds up to %d",
             (long long)options->caption_bytes, TH_RECORD_CAPTION_BYTES);
    TH_TRY(th_codec_find(options->codec, &codec, err));
out:
    return rc;
}

static th_code open_parts(packer *p, th_err *err)
{
    th_code       rc = TH_OK;
    bool          left = false;
    char          path[PATH_MAX];
    th_pack_part *train = &p->parts[TRAIN];

    TH_TRY(th_pack_part_open(p->options->to, false, train, &left, err));
    if (p->options->val > 0) {
        TH_CHECK(snprintf(path, sizeof path, "%s" VAL_SUFFIX, train->folder.path) <
                     (int)sizeof path,
                 TH_EUSAGE, "use a shorter path", "path of pack \"%.100s...\" is too long",
                 train->folder.path);
        // A validation pack beside an unfinished train pack is a part of the same unfinished work.
        TH_TRY(th_pack_part_open(path, left, &p->parts[VAL], NULL, err));
    }
    TH_TRY(th_quarantine_open(&p->quarantine, train->folder.path, err));
out:
    return rc;
}

static void fill_report(packer *p, th_pack_report *out)
{
    int64_t tokens = 0;

    for (int i = 0; i < part_count(p); i++) {
        p->report.captions += p->parts[i].captions;
        tokens += p->parts[i].tokens;
    }
    p->report.vocabulary = th_tokenizer_vocabulary(p->tokenizer);
    p->report.mean_tokens = (double)tokens / (double)p->report.captions;
    *out = p->report;
}

th_code th_pack_build(const th_pack_options *options,
                      void (*progress)(void *context, const th_pack_progress *now), void *context,
                      th_pack_report *out, th_err *err)
{
    th_code rc = TH_OK;
    packer  p = { .options = options,
                  .threads = count_threads(options),
                  .progress = progress,
                  .context = context,
                  .started = now(),
                  .parts = { { .folder.lock = -1 }, { .folder.lock = -1 } } };

    TH_TRY(check_options(options, err));
    TH_TRY(th_source_open_with(options->from, &options->source, &p.source,
                               err)); // before the folder is touched
    if (options->tokenizer)
        TH_TRY(th_tokenizer_find(options->tokenizer, cleanup_of(options), &p.tokenizer, err));
    TH_TRY(open_parts(&p, err));
    TH_TRY(first_pass(&p, err));
    TH_TRY(second_pass(&p, err));
    fill_report(&p, out);
    report_progress(&p, true);
out:
    th_source_close(p.source);
    for (int i = 0; p.makers && i < p.threads; i++)
        th_sample_maker_close(&p.makers[i]);
    free(p.makers);
    th_quarantine_close(&p.quarantine);
    th_tokenizer_close(p.tokenizer);
    for (int i = 0; i < PARTS; i++)
        th_pack_part_close(&p.parts[i]);
    return rc;
}
