#include "dataloader/feature_cache.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "dataloader/feature_cache_about.h"
#include "dataloader/feature_cache_folder.h"
#include "dataloader/feature_cache_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)32 << 20)
#define BUFFER_LIMIT ((size_t)16 << 30)
#define RANKS        100000 // five digits in a name
#define OPEN_FILES   256    // segments kept open; processes are often held to 1024 files

static const char fix_folder[] = "check that the cache folder exists, is writable and has space";

// --- getting ---

// The descriptor of a segment to read from, opened again when it was closed for others; -1 when it
// cannot be opened. The one used longest ago makes room.
static int acquire(th_feature_cache *cache, th_feature_segment *segment)
{
    if (segment->fd < 0 && cache->open_count >= OPEN_FILES) {
        th_feature_segment *oldest = NULL;
        for (int i = 0; i < cache->segment_count; i++) {
            th_feature_segment *s = &cache->segments[i];
            if (s->fd >= 0 && s->readers == 0 && (!oldest || s->used < oldest->used))
                oldest = s;
        }
        if (oldest) {
            (void)close(oldest->fd); // opened for reading: nothing left to lose
            oldest->fd = -1;
            cache->open_count--;
        }
    }
    if (segment->fd < 0) {
        segment->fd = openat(cache->dir, segment->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (segment->fd < 0)
            return -1;
        cache->open_count++;
    }
    segment->used = ++cache->tick;
    segment->readers++;
    return segment->fd;
}

typedef enum { ROW_GOOD, ROW_BAD, ROW_NOT_NOW } row_state;

// Reads a row with the lock given up meanwhile, so that threads read beside each other: on return
// the index may have moved.
static row_state read_row(th_feature_cache *cache, th_feature_place place,
                          const th_feature_key *key, void *out_row)
{
    uint64_t rows = cache->segments[place.segment].rows;
    int      fd = acquire(cache, &cache->segments[place.segment]);

    if (fd < 0) // too many files are open in this process: no fault of the row
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? ROW_NOT_NOW : ROW_BAD;
    th_feature_unlock(cache);
    bool good = th_segment_row(fd, rows, cache->row_bytes, place.row, key, out_row);
    th_feature_lock(cache);
    cache->segments[place.segment].readers--;
    return good ? ROW_GOOD : ROW_BAD;
}

static bool copy_buffered(const th_feature_cache *cache, th_feature_place place,
                          const th_feature_key *key, void *out_row)
{
    const th_feature_buffer *buffer = &cache->buffers[place.segment - TH_BUFFER_PLACE(0)];

    if (memcmp(&buffer->keys[place.row], key, sizeof *key) != 0)
        return false;
    memcpy(out_row, buffer->rows + place.row * (cache->row_bytes + TH_ROW_TRAILER),
           cache->row_bytes);
    return true;
}

// Another thread may have met the same bad row: it is forgotten, and counted, once.
static void forget(th_feature_cache *cache, th_feature_place bad)
{
    th_feature_place *place = th_feature_index_find(&cache->index, bad.hash, NULL);

    while (place && (place->segment != bad.segment || place->row != bad.row))
        place = th_feature_index_find(&cache->index, bad.hash, place);
    if (!place)
        return;
    th_feature_index_erase(&cache->index, place);
    cache->report.damaged++;
}

static bool find_row(th_feature_cache *cache, const th_feature_key *key, void *out_row)
{
    uint64_t                hash = th_feature_key_hash(key);
    const th_feature_place *found = th_feature_index_find(&cache->index, hash, NULL);

    while (found) {
        th_feature_place place = *found;
        if (place.segment >= TH_BUFFER_PLACE(0)) {
            if (copy_buffered(cache, place, key, out_row))
                return true;
            found = th_feature_index_find(&cache->index, hash, found);
            continue;
        }
        row_state state = read_row(cache, place, key, out_row);
        if (state == ROW_GOOD)
            return true;
        if (state == ROW_NOT_NOW)
            return false;
        forget(cache, place);
        found = th_feature_index_find(&cache->index, hash, NULL);
    }
    return false;
}

bool th_feature_cache_get(th_feature_cache *cache, uint64_t item, uint32_t view, void *out_row)
{
    th_feature_key key = th_feature_key_make(item, view);

    th_feature_lock(cache);
    bool good = find_row(cache, &key, out_row);
    if (good) {
        cache->report.hits++;
    } else {
        cache->report.misses++;
        cache->missed = true;
    }
    th_feature_unlock(cache);
    return good;
}

// --- putting ---

static void append(th_feature_cache *cache, const th_feature_key *key, const void *row,
                   uint64_t row_hash)
{
    uint64_t           hash = th_feature_key_hash(key);
    th_feature_buffer *buffer = &cache->buffers[cache->filling];

    if (!cache->report.writing || th_feature_index_find(&cache->index, hash, NULL))
        return;
    if (buffer->count == cache->capacity ||
        th_feature_index_reserve(&cache->index, 1, NULL) != TH_OK) {
        cache->report.dropped++;
        return;
    }
    unsigned char *slot =
        buffer->rows + (size_t)buffer->count * (cache->row_bytes + TH_ROW_TRAILER);
    memcpy(slot, row, cache->row_bytes);
    memcpy(slot + cache->row_bytes, &row_hash, sizeof row_hash);
    buffer->keys[buffer->count] = *key;
    th_feature_index_add(&cache->index, hash, TH_BUFFER_PLACE(cache->filling),
                         (uint32_t)buffer->count);
    cache->report.kept++;
    if (++buffer->count == cache->capacity) {
        cache->due = true;
        th_feature_hand_over(cache);
    }
}

void th_feature_cache_put(th_feature_cache *cache, uint64_t item, uint32_t view, const void *row)
{
    th_feature_key key = th_feature_key_make(item, view);
    uint64_t       row_hash = th_feature_row_hash(&key, row, cache->row_bytes);

    th_feature_lock(cache);
    append(cache, &key, row, row_hash);
    th_feature_unlock(cache);
}

// --- waiting for the thread ---

void th_feature_cache_flush(th_feature_cache *cache)
{
    th_feature_lock(cache);
    if (cache->report.writing && cache->buffers[cache->filling].count > 0) {
        cache->due = true;
        th_feature_hand_over(cache);
    }
    th_feature_unlock(cache);
}

void th_feature_cache_wait(th_feature_cache *cache)
{
    th_feature_lock(cache);
    while (cache->due || cache->busy)
        (void)pthread_cond_wait(&cache->changed, &cache->lock);
    th_feature_unlock(cache);
}

void th_feature_cache_refresh(th_feature_cache *cache)
{
    th_feature_lock(cache);
    // A look under way may have passed by what is new: the one after it counts.
    uint64_t enough = cache->looks + (cache->looking ? 2 : 1);
    while (cache->looks < enough) {
        cache->asked = true;
        (void)pthread_cond_broadcast(&cache->changed);
        (void)pthread_cond_wait(&cache->changed, &cache->lock);
    }
    th_feature_unlock(cache);
}

th_feature_cache_report th_feature_cache_status(th_feature_cache *cache)
{
    th_feature_lock(cache);
    th_feature_cache_report report = cache->report;
    report.rows = (int64_t)cache->index.live;
    th_feature_unlock(cache);
    return report;
}

// --- opening ---

// Ranks that begin a cache at once all write the same bytes, each under a name of its own first.
static th_code write_about(const th_feature_cache *cache, const th_feature_about *about,
                           th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL, name[TH_TEMP_NAME];
    size_t  size = 0;
    int     fd = -1;

    TH_TRY(th_feature_about_print(cache->key, about, &text, &size, err));
    TH_TRY(th_temp_open(cache->path, "about", name, &fd, err));
    rc = th_write_all(fd, text, size, name, err);
    if (rc == TH_OK)
        rc = th_file_publish(cache->dir, name, TH_FEATURE_ABOUT, err);
    if (rc != TH_OK)
        (void)unlinkat(cache->dir, name, 0);
out:
    if (fd >= 0)
        (void)close(fd); // flushed, or thrown away
    free(text);
    return rc;
}

static th_code open_folder(th_feature_cache *cache, const th_feature_cache_options *options,
                           th_err *err)
{
    th_code          rc = TH_OK;
    char             name[TH_HASH_TEXT];
    th_feature_about have;
    th_feature_file *files = NULL;
    int              count = 0;

    th_hash_print(options->key, name);
    TH_CHECK(th_path_join(cache->path, sizeof cache->path, options->base, name), TH_EIO,
             "use a shorter path", "path of cache folder \"%.100s...\" is too long", options->base);
    if (options->writable && !th_path_exists(cache->path))
        TH_TRY(th_folder_make(cache->path, err));
    cache->dir = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TH_CHECK(cache->dir >= 0, errno == ENOENT ? TH_EDATA : TH_EIO, fix_folder,
             "could not open feature cache \"%s\": %s", cache->path, strerror(errno));
    if (options->writable && faccessat(cache->dir, TH_FEATURE_ABOUT, F_OK, 0) != 0)
        TH_TRY(write_about(cache, &options->about, err));
    TH_TRY(th_feature_about_read(cache->path, cache->key, &have, err));
    TH_TRY(th_feature_about_compare(cache->path, &have, &options->about, err));
    if (options->writable) {
        TH_TRY(th_feature_files_list(cache->dir, &files, &count, NULL, err));
        th_temp_clean(cache->dir, files, count);
    }
out:
    free(files);
    return rc;
}

static th_code open_buffers(th_feature_cache *cache, size_t buffer_bytes, th_err *err)
{
    th_code rc = TH_OK;
    size_t  row_bytes = sizeof(th_feature_key) + cache->row_bytes + TH_ROW_TRAILER;

    cache->capacity = (int64_t)((buffer_bytes ? buffer_bytes : BUFFER_BYTES) / row_bytes);
    cache->capacity = cache->capacity < 1                 ? 1
                      : cache->capacity > TH_SEGMENT_ROWS ? TH_SEGMENT_ROWS
                                                          : cache->capacity;
    for (int i = 0; i < 2; i++) {
        th_feature_buffer *buffer = &cache->buffers[i];
        size_t             count = (size_t)cache->capacity;
        TH_TRY(th_arena_open(&buffer->arena, count * row_bytes + 4096, err)); // and alignment
        buffer->keys = th_arena_take(&buffer->arena, count, sizeof *buffer->keys);
        buffer->rows = th_arena_take(&buffer->arena, count, cache->row_bytes + TH_ROW_TRAILER);
        TH_CHECK(buffer->keys && buffer->rows, TH_EIO, "free some memory",
                 "could not allocate a buffer of %zu rows", count);
    }
out:
    return rc;
}

// Signals are for the training's thread. SIGXFSZ among them: a file that may not grow is an error
// of write() here.
static int start_thread(th_feature_cache *cache)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&cache->thread, NULL, th_feature_cache_work, cache);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

// Of the default kind, and with the one other clock that a condition may have: these do not fail.
static void open_lock(th_feature_cache *cache)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&cache->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&cache->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void free_cache(th_feature_cache *cache)
{
    for (int i = 0; i < cache->segment_count; i++)
        if (cache->segments[i].fd >= 0)
            (void)close(cache->segments[i].fd); // opened for reading: nothing left to lose
    free(cache->segments);
    th_feature_index_done(&cache->index);
    th_feature_index_done(&cache->names);
    for (int i = 0; i < 2; i++)
        th_arena_close(&cache->buffers[i].arena);
    if (cache->dir >= 0)
        (void)close(cache->dir);
    (void)pthread_cond_destroy(&cache->changed);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static th_code check_options(const th_feature_cache_options *options, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL;
    size_t  size;

    TH_CHECK(options->rank >= 0 && options->rank < RANKS, TH_EUSAGE, "use fewer ranks",
             "cannot cache features as rank %d: 0 to %d can", options->rank, RANKS - 1);
    TH_CHECK(options->buffer_bytes <= BUFFER_LIMIT && options->budget_bytes >= 0, TH_EUSAGE,
             "leave the buffer at its default, and give a budget of 0 or more",
             "cannot cache features with a buffer of %zu and a budget of %" PRId64 " bytes",
             options->buffer_bytes, options->budget_bytes);
    // about.json could be written: a cache that is opened to read is asked for in the same way.
    TH_TRY(th_feature_about_print(options->key, &options->about, &text, &size, err));
out:
    free(text);
    return rc;
}

th_code th_feature_cache_open(const th_feature_cache_options *options, th_feature_cache **out,
                              th_err *err)
{
    th_code           rc = TH_OK;
    th_feature_cache *cache = NULL;

    TH_TRY(check_options(options, err));
    TH_TRY(th_alloc(1, sizeof *cache, "a feature cache", (void **)&cache, err));
    cache->dir = -1;
    open_lock(cache);
    cache->key = options->key;
    cache->row_bytes = options->about.row_bytes;
    cache->rank = options->rank;
    cache->budget_bytes = options->budget_bytes;
    cache->report.writing = options->writable;
    TH_TRY(open_folder(cache, options, err));
    if (options->writable)
        TH_TRY(open_buffers(cache, options->buffer_bytes, err));
    TH_TRY(th_feature_cache_look(cache, err));
    int reason = start_thread(cache);
    TH_CHECK(reason == 0, TH_EIO, "allow more threads (ulimit -u)",
             "could not start the thread of a feature cache: %s", strerror(reason));
    th_info("feature cache \"%s\": %" PRIu64 " rows in %" PRId64 " segments", cache->path,
            cache->index.live, cache->report.segments);
    *out = cache;
    cache = NULL;
out:
    if (cache)
        free_cache(cache);
    return rc == TH_OK ? TH_OK : th_during(err, "opening a feature cache");
}

void th_feature_cache_close(th_feature_cache *cache)
{
    if (!cache)
        return;
    th_feature_cache_flush(cache);
    th_feature_lock(cache);
    cache->leave = true;
    (void)pthread_cond_broadcast(&cache->changed);
    th_feature_unlock(cache);
    (void)pthread_join(cache->thread, NULL); // fails only for a thread that is not ours
    free_cache(cache);
}
