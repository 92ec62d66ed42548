// Batches are made in a ring of ahead + 2 slots: the two that the caller may still look at, and
// those prepared ahead. Samples are handed to the reading threads one by one, in order, so that all
// of them work on the batch that is needed next; whoever finishes its last sample packs its
// captions. Threads sleep while the ring is full: training uses the same cores.
#include "dataloader/loader.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/slice.h"
#include "dataloader/batch_sample.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    th_batch_sample *samples; // [n]
    th_arena         inputs;  // of the two below: what is never used takes no memory
    uint8_t         *pixels;  // [n, size, size, 3]
    uint8_t         *rows;    // [n, row_bytes], NULL without a source
    bool            *has_row; // [n], NULL without a source
    int64_t         *records; // [n]
    uint32_t        *views;   // [n]
    int32_t         *tokens;
    int64_t         *offsets, *sample_of;
    int64_t          token_room, caption_room;
    th_batch         batch;
    // Under the loader's lock:
    int64_t number; // of the batch
    int64_t done;   // samples made
    bool    ready;
    th_code rc; // of the first of its samples that failed, so that the error is always the same one
    th_err  err;
    int64_t failed; // that sample
} slot;

struct th_loader {
    th_loader_options options;
    int64_t           n, first; // samples of this rank in a batch, and where they begin
    slot             *slots;    // [ahead + 2]
    int               slot_count, thread_count;
    pthread_t        *threads;
    pthread_mutex_t   lock;
    pthread_cond_t    work, ready;
    // Under the lock:
    int64_t delivered;               // batches given to the caller
    int64_t task_batch, task_sample; // the next one to be made
    bool    stop;
    // The caller's:
    int64_t        *damaged; // record numbers, sorted
    int64_t         damaged_room;
    _Atomic int64_t damaged_count;
};

static const char fix_memory[] = "use more ranks, a smaller batch, or a smaller data.ahead";

static slot *slot_of(th_loader *loader, int64_t batch)
{
    return &loader->slots[batch % loader->slot_count];
}

// --- making ---

// Room for `captions` and `tokens`, of which nothing is kept.
static th_code reserve_text(slot *s, int64_t captions, int64_t tokens, th_err *err)
{
    th_code rc = TH_OK;

    if (s->token_room < tokens) {
        free(s->tokens);
        s->tokens = NULL;
        s->token_room = 0;
        TH_TRY(th_alloc((size_t)(tokens + tokens / 4), sizeof *s->tokens, "tokens of a batch",
                        (void **)&s->tokens, err));
        s->token_room = tokens + tokens / 4;
    }
    if (s->caption_room < captions + 1) {
        free(s->offsets);
        free(s->sample_of);
        s->offsets = s->sample_of = NULL;
        s->caption_room = 0;
        TH_TRY(th_alloc((size_t)(captions + captions / 4 + 1), sizeof *s->offsets,
                        "captions of a batch", (void **)&s->offsets, err));
        TH_TRY(th_alloc((size_t)(captions + captions / 4 + 1), sizeof *s->sample_of,
                        "captions of a batch", (void **)&s->sample_of, err));
        s->caption_room = captions + captions / 4 + 1;
    }
out:
    return rc;
}

// Puts the captions of all samples back to back.
static th_code pack_batch(th_loader *loader, slot *s, th_err *err)
{
    th_code rc = TH_OK;
    int64_t captions = 0, tokens = 0;

    for (int64_t i = 0; i < loader->n; i++) {
        captions += s->samples[i].caption_count;
        tokens += s->samples[i].ends[s->samples[i].caption_count - 1];
    }
    TH_TRY(reserve_text(s, captions, tokens, err));
    captions = tokens = 0;
    for (int64_t i = 0; i < loader->n; i++) {
        const th_batch_sample *sample = &s->samples[i];
        int64_t                length = sample->ends[sample->caption_count - 1];
        s->records[i] = sample->record;
        s->views[i] = sample->view;
        if (s->has_row)
            s->has_row[i] = sample->has_row;
        memcpy(s->tokens + tokens, sample->tokens, (size_t)length * sizeof *s->tokens);
        for (int64_t k = 0; k < sample->caption_count; k++, captions++) {
            s->offsets[captions] = tokens + (k ? sample->ends[k - 1] : 0);
            s->sample_of[captions] = i;
        }
        tokens += length;
    }
    s->offsets[captions] = tokens;
    s->batch = (th_batch){
        .position = loader->options.position + s->number * loader->options.batch + loader->first,
        .n = loader->n,
        .pixels = s->pixels,
        .tokens = s->tokens,
        .offsets = s->offsets,
        .caption_count = captions,
        .sample_of = s->sample_of,
        .records = s->records,
        .views = s->views,
        .rows = s->rows,
        .has_row = s->has_row,
    };
out:
    return rc;
}

// Notes that sample i of the slot failed; the lock is held.
static void note_failure(slot *s, int64_t i, th_code rc, const th_err *err)
{
    if (s->rc == TH_OK || i < s->failed) {
        s->rc = rc;
        s->err = *err;
        s->failed = i;
    }
}

// The next sample to make, in *out_slot and *out_sample; false when it is time to end.
static bool take_task(th_loader *loader, slot **out_slot, int64_t *out_sample)
{
    bool going;

    pthread_mutex_lock(&loader->lock);
    while (!loader->stop && loader->task_batch >= loader->delivered + loader->options.ahead)
        pthread_cond_wait(&loader->work, &loader->lock);
    going = !loader->stop;
    if (going) {
        slot *s = slot_of(loader, loader->task_batch);
        if (loader->task_sample == 0) {
            s->number = loader->task_batch;
            s->done = 0;
            s->ready = false;
        }
        *out_slot = s;
        *out_sample = loader->task_sample;
        if (++loader->task_sample == loader->n) {
            loader->task_sample = 0;
            loader->task_batch++;
        }
    }
    pthread_mutex_unlock(&loader->lock);
    return going;
}

static void make_sample(th_loader *loader, th_batch_sample_room *room, slot *s, int64_t i)
{
    const th_loader_options *options = &loader->options;
    size_t                   image_bytes = (size_t)options->size * (size_t)options->size * 3;
    int64_t position = options->position + s->number * options->batch + loader->first + i;
    void   *row = s->rows ? s->rows + (size_t)i * options->rows.row_bytes : NULL;
    th_err  err = { 0 };
    th_code rc = th_batch_sample_make(options, position, room, s->pixels + (size_t)i * image_bytes,
                                      row, &s->samples[i], &err);

    pthread_mutex_lock(&loader->lock);
    if (rc != TH_OK)
        note_failure(s, i, rc, &err);
    bool last = ++s->done == loader->n;
    rc = s->rc;
    pthread_mutex_unlock(&loader->lock);
    if (!last)
        return;

    if (rc == TH_OK)
        rc = pack_batch(loader, s, &err); // alone: all of its samples are there
    pthread_mutex_lock(&loader->lock);
    if (rc != TH_OK)
        note_failure(s, loader->n, rc, &err);
    s->ready = true;
    pthread_cond_signal(&loader->ready);
    pthread_mutex_unlock(&loader->lock);
}

static void *read_ahead(void *argument)
{
    th_loader           *loader = argument;
    th_batch_sample_room room = { 0 };
    slot                *s = NULL;
    int64_t              i = 0;

    while (take_task(loader, &s, &i))
        make_sample(loader, &room, s, i);
    th_batch_sample_room_done(&room);
    return NULL;
}

// --- damage ---

// Adds a record to the sorted list; false when it is there already.
static th_code add_damaged(th_loader *loader, int64_t record, bool *out_new, th_err *err)
{
    th_code rc = TH_OK;
    int64_t count = loader->damaged_count, low = 0, high = count;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (loader->damaged[middle] < record)
            low = middle + 1;
        else
            high = middle;
    }
    *out_new = low == count || loader->damaged[low] != record;
    if (!*out_new)
        goto out;
    if (count == loader->damaged_room) {
        int64_t room = count ? 2 * count : 64;
        void   *larger = realloc(loader->damaged, (size_t)room * sizeof *loader->damaged);
        TH_CHECK(larger, TH_EIO, fix_memory, "could not note damaged records: out of memory");
        loader->damaged = larger;
        loader->damaged_room = room;
    }
    memmove(loader->damaged + low + 1, loader->damaged + low,
            (size_t)(count - low) * sizeof *loader->damaged);
    loader->damaged[low] = record;
    loader->damaged_count = count + 1;
out:
    return rc;
}

// Counts the damaged records that a batch met. This is done when the batch is given out and not
// when it is made, so that it does not depend on how far the threads have read ahead.
static th_code count_damage(th_loader *loader, const slot *s, th_err *err)
{
    th_code     rc = TH_OK;
    const char *folder = th_pack_folder(loader->options.pack);
    int64_t     limit = th_batch_sample_damage_limit(&loader->options);

    for (int64_t i = 0; i < loader->n; i++) {
        const th_batch_sample *sample = &s->samples[i];
        for (int64_t k = 0; k < sample->damage_count; k++) {
            const th_batch_damage *damage = &sample->damages[k];
            bool                   is_new = false;
            TH_TRY(add_damaged(loader, damage->record, &is_new, err));
            if (is_new)
                th_warn("record %lld of pack \"%s\" is damaged, the next good one takes its place: "
                        "%s",
                        (long long)damage->record, folder, damage->why.what);
        }
    }
    TH_CHECK(loader->damaged_count <= limit, TH_EDATA,
             "find out with thaw inspect --verify, and pack or copy the data again",
             "pack \"%s\" has at least %lld damaged records, and at most %lld of %lld may be",
             folder, (long long)loader->damaged_count, (long long)limit,
             (long long)loader->options.order.records);
out:
    return rc;
}

// --- the caller's side ---

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); // fails only on an unknown clock
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

th_code th_loader_next(th_loader *loader, const th_batch **out, double *out_waited, th_err *err)
{
    th_code rc = TH_OK;
    double  begin = seconds_now();
    slot   *s = slot_of(loader, loader->delivered); // only this thread changes `delivered`

    if (loader->n == 0) { // fewer samples in a batch than ranks
        s->batch.position =
            loader->options.position + loader->delivered * loader->options.batch + loader->first;
        loader->delivered++;
        goto give;
    }
    pthread_mutex_lock(&loader->lock);
    while (s->number != loader->delivered || !s->ready)
        pthread_cond_wait(&loader->ready, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
    TH_TRY(count_damage(loader, s, err));
    if (s->rc != TH_OK) { // the batch is not given out: asked again, this is the answer again
        if (err)
            *err = s->err;
        rc = s->rc;
        goto out;
    }
    pthread_mutex_lock(&loader->lock);
    loader->delivered++;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
give:
    *out = &s->batch;
    if (out_waited)
        *out_waited = seconds_now() - begin;
out:
    return rc;
}

int64_t th_loader_damaged(const th_loader *loader)
{
    return loader->damaged_count;
}

// --- opening and closing ---

static th_code check_options(const th_loader_options *o, th_err *err)
{
    th_code             rc = TH_OK;
    const th_pack_info *info = th_pack_describe(o->pack);

    TH_CHECK(o->size >= 1 && o->size <= info->size, TH_EUSAGE,
             "pack the pictures larger (thaw pack --size), or use a smaller model.image.size",
             "pictures of %lld pixels are asked of pack \"%s\", which has %lld", (long long)o->size,
             th_pack_folder(o->pack), (long long)info->size);
    TH_CHECK(o->order.records == info->records && o->position >= 0 && o->batch >= 1 &&
                 o->world_size >= 1 && o->rank >= 0 && o->rank < o->world_size &&
                 o->captions >= 0 && o->captions <= TH_RECORD_CAPTIONS && o->context >= 2 &&
                 o->threads >= 1 && o->ahead >= 1 && o->bad_share >= 0 && o->bad_share <= 1,
             TH_EUSAGE, "check batch, captions, model.text.context and data.* in the run file",
             "the loader cannot read %lld records in batches of %lld for rank %d of %d: %lld "
             "captions, context %lld, %d threads, %d ahead, bad share %g",
             (long long)o->order.records, (long long)o->batch, o->rank, o->world_size,
             (long long)o->captions, (long long)o->context, o->threads, o->ahead, o->bad_share);
    TH_CHECK(o->views >= 0 && o->views <= UINT32_MAX &&
                 (!o->rows.get || !o->random_crop || o->views > 0),
             TH_EUSAGE, "set data.views, or turn the cache off",
             "the loader cannot take rows for crops that are new in each epoch, or %lld views",
             (long long)o->views);
    TH_CHECK(!o->random_crop || (o->crop_scale[0] > 0 && o->crop_scale[0] <= o->crop_scale[1] &&
                                 o->crop_scale[1] <= 1),
             TH_EUSAGE, "give two shares of the area, the smaller first: [0.9, 1.0]",
             "random crops cannot be of %g to %g of a picture", o->crop_scale[0], o->crop_scale[1]);
out:
    return rc;
}

// Room for the samples' pixels and, beside them, the rows that may stand for them.
static th_code open_inputs(slot *s, size_t n, size_t image_bytes, const th_row_source *rows,
                           th_err *err)
{
    th_code rc = TH_OK;
    size_t  row_bytes = rows->get ? rows->row_bytes : 0, bytes = 0;

    TH_CHECK(!__builtin_mul_overflow(n, image_bytes + row_bytes, &bytes), TH_EIO, fix_memory,
             "cannot lay out a batch of %zu pictures of %zu bytes", n, image_bytes);
    TH_TRY(th_arena_open(&s->inputs, bytes + 4096, err)); // and alignment
    s->pixels = th_arena_take(&s->inputs, n, image_bytes);
    if (rows->get) {
        s->rows = th_arena_take(&s->inputs, n, row_bytes);
        TH_TRY(th_alloc(n, sizeof *s->has_row, "batches", (void **)&s->has_row, err));
    }
    TH_CHECK(s->pixels && (s->rows || !rows->get), TH_EIO, fix_memory,
             "could not lay out a batch of %zu pictures of %zu bytes", n, image_bytes);
out:
    return rc;
}

size_t th_loader_bytes(const th_loader_options *options, double tokens)
{
    double n = (double)th_slice_count(options->batch, options->world_size, options->rank);
    double K = (double)options->captions, picture = (double)(options->size * options->size * 3);
    // A sample's captions stand in its own room and in the batch's, which has a quarter to spare.
    double text = K * (2.25 * tokens * sizeof(int32_t) + 3.5 * sizeof(int64_t));
    double each =
        n * (picture + (double)options->rows.row_bytes + text + sizeof(th_batch_sample) + 16);

    // A thread holds a record, its text, and the picture before and behind the crop.
    return (size_t)((options->ahead + 2) * each + options->threads * 4 * picture);
}

static th_code open_slots(th_loader *loader, th_err *err)
{
    th_code rc = TH_OK;
    size_t  n = (size_t)loader->n, side = (size_t)loader->options.size;

    TH_TRY(th_alloc((size_t)loader->slot_count, sizeof *loader->slots, "batches",
                    (void **)&loader->slots, err));
    for (int i = 0; i < loader->slot_count; i++) {
        slot *s = &loader->slots[i];
        s->number = -1;
        TH_TRY(th_alloc(n, sizeof *s->samples, "batches", (void **)&s->samples, err));
        TH_TRY(open_inputs(s, n, side * side * 3, &loader->options.rows, err));
        TH_TRY(th_alloc(n, sizeof *s->records, "batches", (void **)&s->records, err));
        TH_TRY(th_alloc(n, sizeof *s->views, "batches", (void **)&s->views, err));
        TH_TRY(reserve_text(s, 0, 1, err));
        s->batch = (th_batch){ .pixels = s->pixels,
                               .tokens = s->tokens,
                               .offsets = s->offsets,
                               .sample_of = s->sample_of,
                               .records = s->records,
                               .views = s->views,
                               .rows = s->rows,
                               .has_row = s->has_row };
    }
out:
    return rc;
}

static th_code start_threads(th_loader *loader, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_alloc((size_t)loader->options.threads, sizeof *loader->threads, "reading threads",
                    (void **)&loader->threads, err));
    while (loader->n > 0 && loader->thread_count < loader->options.threads) {
        int reason =
            pthread_create(&loader->threads[loader->thread_count], NULL, read_ahead, loader);
        TH_CHECK(reason == 0, TH_EIO, "use fewer data.threads", "could not start a thread: %s",
                 strerror(reason));
        loader->thread_count++;
    }
out:
    return rc;
}

th_code th_loader_open(const th_loader_options *options, th_loader **out, th_err *err)
{
    th_code    rc = TH_OK;
    th_loader *loader = NULL;

    TH_TRY(check_options(options, err));
    loader = calloc(1, sizeof *loader);
    TH_CHECK(loader, TH_EIO, fix_memory, "could not open a loader: out of memory");
    (void)pthread_mutex_init(&loader->lock, NULL); // glibc's never fail with default attributes
    (void)pthread_cond_init(&loader->work, NULL);
    (void)pthread_cond_init(&loader->ready, NULL);
    loader->options = *options;
    loader->n = th_slice_count(options->batch, options->world_size, options->rank);
    loader->first = th_slice_first(options->batch, options->world_size, options->rank);
    loader->slot_count = options->ahead + 2;
    TH_TRY(open_slots(loader, err));
    TH_TRY(start_threads(loader, err));
    *out = loader;
    loader = NULL;
out:
    th_loader_close(loader);
    return rc;
}

static void close_slot(slot *s, int64_t n)
{
    for (int64_t i = 0; s->samples && i < n; i++)
        th_batch_sample_done(&s->samples[i]);
    free(s->samples);
    th_arena_close(&s->inputs);
    free(s->has_row);
    free(s->records);
    free(s->views);
    free(s->tokens);
    free(s->offsets);
    free(s->sample_of);
}

void th_loader_close(th_loader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->thread_count; i++)
        (void)pthread_join(loader->threads[i], NULL); // fails only on a thread that is not ours
    for (int i = 0; loader->slots && i < loader->slot_count; i++)
        close_slot(&loader->slots[i], loader->n);
    (void)pthread_cond_destroy(&loader->ready);
    (void)pthread_cond_destroy(&loader->work);
    (void)pthread_mutex_destroy(&loader->lock);
    free(loader->threads);
    free(loader->slots);
    free(loader->damaged);
    free(loader);
}
