#include "trainer/cache_build.h"

#include "base/slice.h"
#include "comm/agree.h"
#include "trainer/foresight.h"
#include "trainer/staging.h"

#include <string.h>
#include <time.h>

#define SAMPLES       32           // of a rank's batch at most
#define TOKENS        8192         // of a text pass at most
#define PENDING_BYTES (16LL << 20) // rows that are put before they are waited for: half a buffer
#define FLUSH_SECONDS 30           // what a kill costs at most

enum { IMAGE, TEXT };

// What a rank may say after a batch; all act on what any has said.
enum { STOP_ASKED = 1, CACHE_FULL = 2 };

typedef struct {
    th_session           *session;
    th_cache_build_report report;
    th_image_tower        image;
    th_text_tower         text;
    int64_t               batch;    // global
    int64_t               per_rank; // samples
    size_t                row_bytes[2];
    int64_t               pending; // bytes put since the last wait
    double                flushed; // when, in seconds of the monotonic clock
} build;

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); // cannot fail with this clock
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// --- opening ---

static th_code open_cache(build *b, int t, th_err *err)
{
    th_session             *session = b->session;
    th_frozen_cache_options options;
    char                    folder[4096];
    th_code                 rc = TH_OK;

    TH_TRY(th_staging_cache_options(session, t == IMAGE ? TH_IMAGE : TH_TEXT_TOWER, folder,
                                    sizeof folder, &options, err));
    int64_t bytes = th_frozen_cache_bytes(&options);
    // Of captions many are the same, so that nobody knows how much they take.
    TH_CHECK(t == TEXT || bytes <= options.budget_bytes, TH_EUSAGE,
             "raise cache.budget, or set fewer data.views",
             "the image tower's rows need %.3g GB and cache.budget is %.3g GB", (double)bytes / 1e9,
             (double)options.budget_bytes / 1e9);
    TH_TRY(th_frozen_cache_open(&options, &session->cache[t], err));
    b->row_bytes[t] = (size_t)th_frozen_cache_row_bytes(&options);
out:
    return rc;
}

// Of a loader whose pictures nobody wants: none is decoded.
static bool no_picture(void *context, int64_t record, uint32_t view, void *out_row)
{
    (void)context, (void)record, (void)view, (void)out_row;
    return true;
}

static th_code open_loader(build *b, th_err *err)
{
    th_session             *session = b->session;
    const th_train_options *o = session->options;
    const th_pack_info     *info = th_pack_describe(session->train);
    bool                    crop = strcmp(o->augment, "crop") == 0 && b->report.tower[IMAGE];
    int64_t                 views = crop ? o->views : 0;
    int64_t                 most = o->micro_batch > 0 ? o->micro_batch : SAMPLES;
    th_code                 rc = TH_OK;

    while (most > 1 && most * (int64_t)b->row_bytes[IMAGE] > PENDING_BYTES)
        most /= 2;
    b->per_rank = most;
    b->batch = most * session->world->size;
    b->report.total = info->records * (views > 0 ? views : 1);
    memcpy(b->image.mean, info->mean, sizeof info->mean);
    memcpy(b->image.deviation, info->deviation, sizeof info->deviation);
    b->image.parameters = b->text.parameters = &session->parameters;
    th_loader_options options = {
        .pack = session->train,
        .order = { .seed = (uint64_t)o->seed, .records = info->records },
        .batch = b->batch,
        .rank = session->world->rank,
        .world_size = session->world->size,
        .size = session->parameters.model.image.size,
        .random_crop = crop,
        .crop_scale = { o->crop_scale.first, o->crop_scale.second },
        .views = views,
        .views_in_turn = true,
        .rows = session->cache[IMAGE]
                    ? th_frozen_row_source(session->cache[IMAGE], &session->parameters)
                    : (th_row_source){ .get = no_picture },
        .context = session->parameters.model.text.context,
        .threads = (int)o->loader_threads,
        .ahead = (int)o->loader_ahead,
        .bad_share = o->bad_share,
    };
    TH_TRY(th_loader_open(&options, &session->loader, err));
out:
    return rc;
}

static th_code open_local(build *b, const char *name, th_err *err)
{
    th_session *session = b->session;
    th_foreseen found;
    th_code     rc = TH_OK;

    TH_TRY(th_foresee_frozen(session, name, &found, err));
    b->report.stage = session->in->schedule->stages[found.stage].own.name;
    memcpy(b->report.tower, found.tower, sizeof found.tower);
    for (int t = 0; t < 2; t++)
        if (found.tower[t])
            TH_TRY(open_cache(b, t, err));
    TH_TRY(open_loader(b, err));
    b->flushed = now();
out:
    return rc;
}

// --- a batch ---

// Rows of so many bytes were put: has them written before a buffer can be full, so that nothing is
// dropped.
static void wait_for_disk(build *b, int64_t bytes)
{
    th_feature_cache *const *cache = b->session->cache;

    b->pending += bytes;
    if (b->pending < PENDING_BYTES && now() - b->flushed < FLUSH_SECONDS)
        return;
    for (int t = 0; t < 2; t++)
        if (cache[t])
            th_feature_cache_flush(cache[t]);
    for (int t = 0; t < 2; t++)
        if (cache[t])
            th_feature_cache_wait(cache[t]);
    b->pending = 0;
    b->flushed = now();
}

// The first `n` samples' captions, in passes of bounded length.
static th_code keep_texts(build *b, const th_batch *batch, int64_t n, th_err *err)
{
    th_session *session = b->session;
    int64_t     captions = 0;
    th_code     rc = TH_OK;

    while (captions < batch->caption_count && batch->sample_of[captions] < n)
        captions++;
    for (int64_t first = 0, end; first < captions; first = end) {
        for (end = first + 1; end < captions; end++)
            if (batch->offsets[end + 1] - batch->offsets[first] > TOKENS)
                break;
        th_captions some = { .tokens = batch->tokens,
                             .offsets = batch->offsets + first,
                             .n = end - first };
        TH_TRY(
            th_frozen_text_keep(session->cache[TEXT], &b->text, &some, &session->activations, err));
        wait_for_disk(b, (end - first) * (int64_t)b->row_bytes[TEXT]);
    }
out:
    return rc;
}

static th_code keep_batch(build *b, uint32_t *out_flags, th_err *err)
{
    th_session     *session = b->session;
    const th_batch *batch;
    int64_t         records = session->records, left;
    th_code         rc = TH_OK;

    TH_TRY(th_loader_next(session->loader, &batch, NULL, err));
    th_arena_rewind(&session->activations, 0);
    // What stands behind the last sample is of the next epoch.
    left = b->report.total - batch->position;
    left = left < 0 ? 0 : left < batch->n ? left : batch->n;
    if (session->cache[IMAGE] && left > 0) {
        TH_TRY(th_frozen_image_keep(session->cache[IMAGE], &b->image, batch, 0, left,
                                    &session->activations, err));
        wait_for_disk(b, left * (int64_t)b->row_bytes[IMAGE]);
    }
    left = records - batch->position; // captions have no views
    left = left < 0 ? 0 : left < batch->n ? left : batch->n;
    if (session->cache[TEXT] && left > 0)
        TH_TRY(keep_texts(b, batch, left, err));
    for (int t = 0; t < 2; t++)
        if (session->cache[t] && !th_feature_cache_status(session->cache[t]).writing)
            *out_flags |= CACHE_FULL;
out:
    return rc;
}

static th_code keep_all(build *b, const th_cache_build_hooks *hooks, th_err *err)
{
    th_world *world = b->session->world;
    th_code   rc = TH_OK;

    while (b->report.done < b->report.total) {
        uint32_t flags = hooks->stop_asked && hooks->stop_asked(hooks->context) ? STOP_ASKED : 0;
        TH_TRY(th_agree(world, keep_batch(b, &flags, err), err));
        TH_TRY(th_agree_flags(world, flags, &flags, err));
        b->report.done += b->batch;
        if (b->report.done > b->report.total)
            b->report.done = b->report.total;
        if (hooks->on_progress)
            hooks->on_progress(hooks->context, &b->report);
        TH_CHECK(!(flags & CACHE_FULL), TH_EIO,
                 "make room, raise cache.budget, and run the same command again",
                 "the cache of stage \"%s\" could not be written any further: the disk or "
                 "cache.budget is full",
                 b->report.stage);
        TH_CHECK(!(flags & STOP_ASKED), TH_ESTOP, "run the same command again to go on",
                 "stopped as asked at %lld of %lld pictures", (long long)b->report.done,
                 (long long)b->report.total);
    }
out:
    return rc;
}

// Writes what is left and counts.
static th_code finish(build *b, th_err *err)
{
    th_session *session = b->session;
    double      rows[2] = { 0 }; // computed, dropped
    th_code     rc = TH_OK;

    for (int t = 0; t < 2; t++) {
        if (!session->cache[t])
            continue;
        th_feature_cache_flush(session->cache[t]);
        th_feature_cache_wait(session->cache[t]);
        th_feature_cache_report report = th_feature_cache_status(session->cache[t]);
        rows[0] += (double)report.kept;
        rows[1] += (double)report.dropped + (report.writing ? 0 : 1);
    }
    TH_TRY(th_world_sum(session->world, rows, 2, err));
    TH_CHECK(rows[1] == 0, TH_EIO, "make room and run the same command again",
             "rows of stage \"%s\" could not be written", b->report.stage);
    b->report.computed = (int64_t)rows[0];
out:
    return rc;
}

th_code th_cache_build(th_world *world, const struct th_run_input *in, const char *name,
                       const th_cache_build_hooks *hooks, th_cache_build_report *out, th_err *err)
{
    build   b = { 0 };
    th_code rc = TH_OK;

    TH_TRY(th_session_open_weights(world, in, &b.session, err));
    TH_TRY(th_agree(world, open_local(&b, name, err), err));
    TH_TRY(keep_all(&b, hooks, err));
    TH_TRY(finish(&b, err));
    *out = b.report;
out:
    th_session_close(b.session);
    return rc;
}
