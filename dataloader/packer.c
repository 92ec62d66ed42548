// The steps of packing, in the order of packer.h: take the folders, look at the source, pack the
// units that are missing, commit. With ranks, each step ends with an agreement.
#include "dataloader/packer.h"

#include "base/file.h"
#include "base/memory.h"
#include "dataloader/packer_begun.h"
#include "dataloader/packer_commit.h"
#include "dataloader/packer_work.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_SECONDS 0.2
#define VAL_SUFFIX   "-val"
#define MOST_MERGES  ((size_t)1 << 30) // bytes

typedef struct {
    const th_pack_options *options;
    const th_pack_team    *team;
    th_source             *source;
    th_new_folder          folders[TH_PARTS];
    th_folder_state        state; // of the train part's; rank 0
    th_survey              survey;
    th_tokenizer          *tokenizer;
    char                  *missing; // [units] 1: to be packed
    int                    units;
    th_tally               tally;
    th_pack_report         report;
    double                 started, ticked;
    void (*progress)(void *context, const th_pack_progress *now);
    void *context;
} packer;

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

static th_code agree(const packer *p, th_code rc, th_err *err)
{
    return p->team->agree(p->team->context, rc, err);
}

// Of rank 0 to all.
static th_code share(const packer *p, void *bytes, size_t size, th_err *err)
{
    return p->team->share(p->team->context, bytes, size, 0, err);
}

// --- the folders ---

static int count_threads(const th_pack_options *options, int host_ranks)
{
    long      online = sysconf(_SC_NPROCESSORS_ONLN), cores = online;
    cpu_set_t set;

    if (options->threads > 0)
        return (int)options->threads;
    if (sched_getaffinity(0, sizeof set, &set) == 0) // what Slurm gave us, not what the node has
        cores = CPU_COUNT(&set);
    cores /= cores == online ? host_ranks : 1; // ranks that are not bound share the host
    return cores > 0 ? (int)cores : 1;
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

static th_code name_folders(packer *p, th_err *err)
{
    th_code        rc = TH_OK;
    char           path[PATH_MAX];
    th_new_folder *train = &p->folders[TH_PART_TRAIN];

    TH_TRY(th_new_folder_name(p->options->to, train, err));
    TH_CHECK(snprintf(path, sizeof path, "%s" VAL_SUFFIX, train->path) < (int)sizeof path,
             TH_EUSAGE, "use a shorter path", "path of pack \"%.100s...\" is too long",
             train->path);
    if (p->options->val > 0)
        TH_TRY(th_new_folder_name(path, &p->folders[TH_PART_VAL], err));
out:
    return rc;
}

static const char fix_pack[] = "name a folder that does not exist yet, or remove this one";

// A validation pack beside an unfinished train pack is a part of the same unfinished work.
static th_code take_val(packer *p, th_err *err)
{
    th_code         rc = TH_OK;
    th_folder_state state;
    th_new_folder  *val = &p->folders[TH_PART_VAL];

    TH_TRY(th_new_folder_take(val, &state, err));
    if (p->state == TH_FOLDER_BEGUN || p->state == TH_FOLDER_DONE)
        return TH_OK;
    TH_CHECK(p->state == TH_FOLDER_LEFT || state != TH_FOLDER_PACK, TH_EUSAGE, fix_pack,
             "\"%s\" is a pack already", val->path);
    TH_TRY(th_new_folder_clean(val, err));
out:
    return rc;
}

static th_code take_folders(packer *p, th_err *err)
{
    th_code        rc = TH_OK;
    th_new_folder *train = &p->folders[TH_PART_TRAIN];
    char          *text = NULL;

    TH_TRY(th_new_folder_take(train, &p->state, err));
    TH_CHECK(p->state != TH_FOLDER_PACK, TH_EUSAGE, fix_pack, "\"%s\" is a pack already",
             train->path);
    if (p->state == TH_FOLDER_BEGUN || p->state == TH_FOLDER_DONE) {
        TH_TRY(th_begun_print(p->options, NULL, NULL, &text, err));
        TH_TRY(th_begun_check(train, text, err));
    }
    if (p->options->val > 0)
        TH_TRY(take_val(p, err));
    if (p->state == TH_FOLDER_LEFT)
        TH_TRY(th_new_folder_clean(train, err));
    TH_CHECK(unlinkat(train->lock, TH_PACK_STOP, 0) == 0 || errno == ENOENT, TH_EIO,
             "check that the folder is writable", "could not remove \"%s/" TH_PACK_STOP "\": %s",
             train->path, strerror(errno));
out:
    free(text);
    return rc;
}

// --- the first look ---

static void tick_look(void *context, int64_t samples)
{
    packer *p = context;

    p->report.total.read = samples;
    th_source_progress(p->source, &p->report.total.done, &p->report.total.to_do);
    report_progress(p, false);
}

// The tokenizer that an earlier start has trained, or rank 0 just now.
static th_code reopen_tokenizer(packer *p, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], *text = NULL;
    size_t  size;

    TH_CHECK(th_path_join(path, sizeof path, p->folders[TH_PART_TRAIN].path, TH_TOKENIZER_MERGES),
             TH_EUSAGE, "use a shorter path", "path of pack \"%.100s...\" is too long",
             p->folders[TH_PART_TRAIN].path);
    if (p->team->rank == 0 && !th_path_exists(path))
        return TH_OK; // there was no caption to train one on
    TH_TRY(th_file_read(path, MOST_MERGES, &text, &size, err));
    TH_TRY(th_tokenizer_open_as(text, size, th_pack_cleanup(p->options), &p->tokenizer, err));
out:
    free(text);
    return rc;
}

// A tokenizer is trained by rank 0, which then has to see all captions itself.
static bool trains(const packer *p)
{
    return !p->options->tokenizer && p->state != TH_FOLDER_BEGUN;
}

// All must see the same files. Local errors: TH_EUSAGE.
static th_code check_pieces(const packer *p, int64_t pieces, th_err *err)
{
    th_code rc = TH_OK;
    int64_t mine = th_source_pieces(p->source);

    TH_CHECK(mine == pieces, TH_EUSAGE, "let all nodes see the same files",
             "source \"%s\" has %lld files on rank 0, and %lld here", p->options->from,
             (long long)pieces, (long long)mine);
out:
    return rc;
}

// Each rank's pieces to all, from one after the other.
static th_code share_pieces(const packer *p, th_survey_piece *pieces, int64_t count, th_err *err)
{
    th_code          rc = TH_OK;
    int              ranks = p->team->ranks;
    void            *memory = NULL;
    th_survey_piece *part;

    if (trains(p))
        return share(p, pieces, (size_t)count * sizeof *pieces, err);
    rc = th_alloc((size_t)count, sizeof *part, "a survey", &memory, err);
    TH_TRY(agree(p, rc, err));
    part = memory;
    for (int root = 0; root < ranks; root++) {
        int64_t used = 0;
        for (int64_t i = root; i < count; i += ranks)
            part[used++] = pieces[i];
        TH_TRY(p->team->share(p->team->context, part, (size_t)used * sizeof *part, root, err));
        used = 0;
        for (int64_t i = root; i < count; i += ranks)
            pieces[i] = part[used++];
    }
out:
    free(memory);
    return rc;
}

// Fills p->survey, on every rank the same.
static th_code survey(packer *p, th_err *err)
{
    th_code          rc = TH_OK;
    bool             lead = p->team->rank == 0;
    int64_t          count = th_source_pieces(p->source);
    void            *memory = NULL;
    th_survey_piece *pieces;

    TH_TRY(share(p, &count, sizeof count, err));
    rc = check_pieces(p, count, err);
    if (rc == TH_OK)
        rc = th_alloc((size_t)count, sizeof *pieces, "a survey", &memory, err);
    TH_TRY(agree(p, rc, err));
    pieces = memory;
    if (lead || !trains(p))
        rc = th_survey_take(p->source, p->options, p->team->rank, trains(p) ? 1 : p->team->ranks,
                            tick_look, p, pieces, trains(p) ? &p->tokenizer : NULL, err);
    TH_TRY(agree(p, rc, err));
    TH_TRY(share_pieces(p, pieces, count, err));
    TH_TRY(agree(p, th_survey_sum(pieces, count, &p->survey, err), err));
out:
    free(memory);
    return rc;
}

// Rank 0 notes what the pack is begun with, or compares.
static th_code note(packer *p, th_err *err)
{
    th_code              rc = TH_OK;
    const th_new_folder *folder = &p->folders[TH_PART_TRAIN];
    char                *text = NULL;

    TH_CHECK(p->options->val == 0 || p->survey.in_val > 0 || p->survey.captioned == 0, TH_EUSAGE,
             "use a larger val", "of %lld samples none fell to the validation pack",
             (long long)p->survey.captioned);
    TH_TRY(th_begun_print(p->options, &p->survey, p->tokenizer, &text, err));
    if (p->state == TH_FOLDER_BEGUN)
        TH_TRY(th_begun_check(folder, text, err));
    else {
        if (p->tokenizer)
            TH_TRY(th_pack_write_tokenizer(folder, p->tokenizer, err));
        TH_TRY(th_begun_write(folder, text, err));
    }
out:
    free(text);
    return rc;
}

static th_code look(packer *p, th_err *err)
{
    th_code rc = TH_OK;
    bool    lead = p->team->rank == 0, has_tokenizer;

    p->report.total.looking = true;
    TH_TRY(survey(p, err));
    if (lead && !p->tokenizer && p->state == TH_FOLDER_BEGUN)
        rc = reopen_tokenizer(p, err);
    if (lead && rc == TH_OK)
        rc = note(p, err);
    TH_TRY(agree(p, rc, err));
    has_tokenizer = p->tokenizer != NULL;
    TH_TRY(share(p, &has_tokenizer, sizeof has_tokenizer, err));
    if (has_tokenizer && !p->tokenizer)
        rc = reopen_tokenizer(p, err);
    TH_TRY(agree(p, rc, err));
out:
    return rc;
}

// --- the units ---

// Which are missing: rank 0 looks for all, as what others see of a shared disk may be old.
static th_code find_missing(packer *p, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < p->units; i++) {
        th_unit unit;
        bool    there;
        TH_TRY(th_unit_read(p->folders, i, &unit, &there, err));
        p->missing[i] = !there;
        p->report.kept += there ? unit.tally.read : 0;
        if (there)
            th_unit_close(&unit);
    }
out:
    return rc;
}

static bool tick_work(void *context, const th_tally *tally, int64_t samples)
{
    packer           *p = context;
    th_pack_progress *total = &p->report.total;
    bool              due = now() - p->ticked >= TICK_SECONDS;
    char              path[PATH_MAX];

    total->read = total->done = tally->read;
    total->packed = tally->packed[TH_PART_TRAIN];
    total->packed_val = tally->packed[TH_PART_VAL];
    total->quarantined = tally->refused;
    total->to_do = samples;
    report_progress(p, false);
    if (p->team->ranks == 1 || !due)
        return true;
    p->ticked = now();
    return !th_path_join(path, sizeof path, p->folders[TH_PART_TRAIN].path, TH_PACK_STOP) ||
           !th_path_exists(path);
}

// Other ranks are in the middle of their units, and look for this file now and then.
static void stop_others(const packer *p)
{
    char path[PATH_MAX];

    if (p->team->ranks == 1 ||
        !th_path_join(path, sizeof path, p->folders[TH_PART_TRAIN].path, TH_PACK_STOP))
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        (void)close(fd); // if it could not be made, they learn of it when they are done
}

static th_code pack_units(packer *p, th_err *err)
{
    th_code      rc = TH_OK;
    void        *memory = NULL;
    th_pack_work work = { .options = p->options,
                          .threads = count_threads(p->options, p->team->host_ranks),
                          .folders = p->folders,
                          .survey = &p->survey,
                          .tokenizer = p->tokenizer,
                          .units = p->units,
                          .tick = tick_work,
                          .context = p };

    TH_TRY(th_alloc((size_t)p->units + 1, 1, "a list of shards", &memory, err));
    p->missing = memory;
    if (p->team->rank == 0)
        rc = find_missing(p, err);
    TH_TRY(agree(p, rc, err));
    TH_TRY(share(p, p->missing, (size_t)p->units, err));
    for (int i = 0, turn = 0; i < p->units;
         i++) // of those that are missing each rank takes its own
        if (p->missing[i] && turn++ % p->team->ranks != p->team->rank)
            p->missing[i] = 0;
    work.mine = p->missing;
    p->report.total.looking = false;
    rc = th_pack_work_do(&work, err);
    if (rc != TH_OK)
        stop_others(p);
    TH_TRY(agree(p, rc, err));
out:
    return rc;
}

// --- all of it ---

static th_code open_input(packer *p, th_err *err)
{
    const th_pack_options *options = p->options;
    th_code                rc = TH_OK;

    TH_TRY(check_options(options, err));
    TH_TRY(th_source_open_with(options->from, &options->source, &p->source, err));
    if (options->tokenizer)
        TH_TRY(th_tokenizer_find(options->tokenizer, th_pack_cleanup(options), &p->tokenizer, err));
    TH_TRY(name_folders(p, err));
out:
    return rc;
}

// What was only needed to go on. unfinished.txt goes last: while it is there, a pack is not done.
static th_code clean_up(packer *p, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < p->units; i++)
        TH_TRY(th_unit_forget(p->folders, i, err));
    TH_TRY(th_begun_remove(&p->folders[TH_PART_TRAIN], err));
out:
    return rc;
}

static th_code finish(packer *p, th_err *err)
{
    th_code rc = th_packs_commit(p->folders, p->units, p->options, p->tokenizer, &p->tally,
                                 &p->report.bytes, &p->report.shards, err);

    // Nothing to go on with is left of a pack that cannot be: its command may be changed.
    if (rc == TH_EIO)
        return rc;
    th_code cleaned = clean_up(p, rc == TH_OK ? err : NULL);
    if (rc != TH_OK || cleaned != TH_OK)
        return rc != TH_OK ? rc : cleaned;
    th_tally_report(&p->tally, th_tokenizer_context(p->tokenizer), &p->report);
    p->report.vocabulary = th_tokenizer_vocabulary(p->tokenizer);
    report_progress(p, true);
    return TH_OK;
}

// A start was killed when all was committed and not yet cleaned up.
static th_code finish_again(packer *p, th_err *err)
{
    p->units = TH_PACK_SHARDS;
    p->report.done_before = true;
    return p->team->rank == 0 ? clean_up(p, err) : TH_OK;
}

static th_code build(packer *p, th_err *err)
{
    bool    lead = p->team->rank == 0;
    th_code rc = open_input(p, err);

    TH_TRY(agree(p, rc, err));
    if (lead)
        rc = take_folders(p, err);
    TH_TRY(agree(p, rc, err));
    TH_TRY(share(p, &p->state, sizeof p->state, err));
    if (p->state == TH_FOLDER_DONE)
        return agree(p, finish_again(p, err), err);
    TH_TRY(look(p, err));
    p->units = th_unit_count(&p->survey, p->options);
    TH_TRY(pack_units(p, err));
    if (lead)
        rc = finish(p, err);
    TH_TRY(agree(p, rc, err));
out:
    return rc;
}

th_code th_pack_build_together(const th_pack_options *options, const th_pack_team *team,
                               void (*progress)(void *context, const th_pack_progress *now),
                               void *context, th_pack_report *out, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    packer *p = NULL;

    rc = th_alloc(1, sizeof *p, "packing", &memory, err);
    TH_TRY(team->agree(team->context, rc, err));
    p = memory;
    p->options = options;
    p->team = team;
    p->progress = progress;
    p->context = context;
    p->started = now();
    for (int part = 0; part < TH_PARTS; part++)
        p->folders[part].lock = -1;
    TH_TRY(build(p, err));
    *out = p->report;
out:
    if (p) {
        th_source_close(p->source);
        th_survey_close(&p->survey);
        th_tokenizer_close(p->tokenizer);
        for (int part = 0; part < TH_PARTS; part++)
            th_new_folder_close(&p->folders[part]);
        free(p->missing);
    }
    free(p);
    return rc;
}

static th_code agree_alone(void *context, th_code code, th_err *err)
{
    (void)context, (void)err;
    return code;
}

static th_code share_alone(void *context, void *bytes, size_t size, int root, th_err *err)
{
    (void)context, (void)bytes, (void)size, (void)root, (void)err;
    return TH_OK;
}

th_code th_pack_build(const th_pack_options *options,
                      void (*progress)(void *context, const th_pack_progress *now), void *context,
                      th_pack_report *out, th_err *err)
{
    static const th_pack_team alone = {
        .ranks = 1, .host_ranks = 1, .agree = agree_alone, .share = share_alone
    };

    return th_pack_build_together(options, &alone, progress, context, out, err);
}
