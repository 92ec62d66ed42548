// The thread of a feature cache: it writes the buffer that is handed over, and looks for segments
// that others have published.
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "dataloader/feature_cache_folder.h"
#include "dataloader/feature_cache_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_SECONDS 5    // between looks at the folder
#define AT_ONCE      1024 // places changed under one lock: some 0.1 ms that others wait

// --- segments ---

// A place for one more segment. The number of a segment never changes, its address may.
static th_code add_segment(th_feature_cache *cache, const char *name, uint64_t rows,
                           uint32_t *out_number, th_err *err)
{
    th_code rc = TH_OK;

    th_feature_lock(cache);
    if (cache->segment_count == cache->segment_room) {
        int                 more = cache->segment_room ? 2 * cache->segment_room : 64;
        th_feature_segment *larger = realloc(cache->segments, (size_t)more * sizeof *larger);
        TH_CHECK(larger, TH_EIO, "free some memory", "could not take in segment \"%s\"", name);
        cache->segments = larger;
        cache->segment_room = more;
    }
    *out_number = (uint32_t)cache->segment_count++;
    th_feature_segment *segment = &cache->segments[*out_number];
    *segment = (th_feature_segment){ .rows = rows, .fd = -1 };
    (void)snprintf(segment->name, sizeof segment->name, "%s", name);
    cache->report.segments++;
    cache->report.bytes += (int64_t)th_segment_bytes(cache->row_bytes, rows);
out:
    th_feature_unlock(cache);
    return rc;
}

static th_code add_rows(th_feature_cache *cache, const th_feature_key *keys, uint64_t count,
                        uint32_t number, th_err *err)
{
    th_code rc = TH_OK;

    for (uint64_t i = 0; i < count && rc == TH_OK;) {
        th_feature_lock(cache);
        // All that are left, so that the index does not grow piece by piece.
        rc = th_feature_index_reserve(&cache->index, count - i, err);
        for (int k = 0; rc == TH_OK && k < AT_ONCE && i < count; k++, i++)
            th_feature_index_add(&cache->index, th_feature_key_hash(&keys[i]), number, (uint32_t)i);
        th_feature_unlock(cache);
    }
    return rc;
}

static th_code load_segment(th_feature_cache *cache, const char *name, th_err *err)
{
    th_code         rc = TH_OK;
    th_segment_head head;
    th_feature_key *keys = NULL;
    int             fd = -1;
    uint32_t        number;

    TH_TRY(th_segment_open(cache->dir, name, &head, &fd, err));
    TH_CHECK(head.cache_key == cache->key && head.row_bytes == cache->row_bytes, TH_EDATA,
             "remove it, it belongs into another folder",
             "segment \"%s\" is of cache %016" PRIx64 " with rows of %" PRIu64 " bytes", name,
             head.cache_key, head.row_bytes);
    TH_TRY(th_segment_keys(fd, name, &head, &keys, err));
    TH_TRY(add_segment(cache, name, head.rows, &number, err));
    TH_TRY(add_rows(cache, keys, head.rows, number, err));
out:
    free(keys);
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

// Whether the segment was looked at before, by its name.
static bool known(const th_feature_cache *cache, const char *name, uint64_t *out_hash)
{
    *out_hash = th_hash(name, strlen(name));
    return th_feature_index_find(&cache->names, *out_hash, NULL) != NULL;
}

th_code th_feature_cache_look(th_feature_cache *cache, th_err *err)
{
    th_code          rc = TH_OK;
    th_feature_file *files = NULL;
    int              count = 0;
    uint64_t         name_hash;

    TH_TRY(th_feature_files_list(cache->dir, &files, &count, NULL, err));
    for (int i = 0; i < count; i++) {
        th_err why = { 0 };
        if (files[i].kind != TH_FILE_SEGMENT || known(cache, files[i].name, &name_hash))
            continue;
        TH_TRY(th_feature_index_reserve(&cache->names, 1, err));
        th_feature_index_add(&cache->names, name_hash, 0, 0);
        if (load_segment(cache, files[i].name, &why) == TH_OK)
            continue;
        (void)th_during(&why, "reading feature cache \"%s\"", cache->path);
        th_log_error(TH_WARN, &why);
        th_feature_lock(cache);
        cache->report.refused++;
        th_feature_unlock(cache);
    }
out:
    free(files);
    return rc;
}

// --- writing ---

// The temporary file has its full size before the budget is looked at, so that ranks that write at
// the same time see each other's and never exceed it together.
static th_code check_budget(const th_feature_cache *cache, th_err *err)
{
    th_code          rc = TH_OK;
    th_feature_file *files = NULL;
    int              count = 0;
    uint64_t         bytes = 0;

    if (cache->budget_bytes == 0)
        goto out;
    TH_TRY(th_feature_files_list(cache->dir, &files, &count, &bytes, err));
    TH_CHECK(bytes <= (uint64_t)cache->budget_bytes, TH_EIO,
             "give the cache a larger budget, or remove old caches (thaw cache ls, rm)",
             "the budget of feature cache \"%s\" is used up: %" PRId64 " bytes", cache->path,
             cache->budget_bytes);
out:
    free(files);
    return rc;
}

static th_code fill_file(const th_feature_cache *cache, int fd, const char *name,
                         const th_feature_buffer *buffer, const unsigned char *head, th_err *err)
{
    th_code rc = TH_OK;
    size_t  count = (size_t)buffer->count;

    TH_CHECK(ftruncate(fd, (off_t)th_segment_bytes(cache->row_bytes, count)) == 0, TH_EIO,
             "make room on the disk", "could not write file \"%s\": %s", name, strerror(errno));
    TH_TRY(check_budget(cache, err));
    TH_TRY(th_write_all(fd, head, TH_SEGMENT_HEAD, name, err));
    TH_TRY(th_write_all(fd, buffer->keys, count * sizeof *buffer->keys, name, err));
    TH_TRY(th_write_all(fd, buffer->rows, count * (cache->row_bytes + TH_ROW_TRAILER), name, err));
out:
    return rc;
}

static th_code write_segment(th_feature_cache *cache, const th_feature_buffer *buffer,
                             char name[TH_SEGMENT_NAME], th_err *err)
{
    th_code         rc = TH_OK;
    unsigned char   head[TH_SEGMENT_HEAD];
    char            prefix[TH_SEGMENT_NAME], temp[TH_TEMP_NAME];
    size_t          count = (size_t)buffer->count;
    th_segment_head fields = { .cache_key = cache->key,
                               .row_bytes = cache->row_bytes,
                               .rows = count,
                               .keys_hash = th_hash(buffer->keys, count * sizeof *buffer->keys) };
    int             fd = -1;

    th_segment_head_print(&fields, cache->rank, head, name);
    (void)snprintf(prefix, sizeof prefix, "%.10s", name); // "rank-00000"
    TH_TRY(th_temp_open(cache->path, prefix, temp, &fd, err));
    rc = fill_file(cache, fd, temp, buffer, head, err);
    if (rc == TH_OK)
        rc = th_file_publish(cache->dir, temp, name, err); // which flushes it
    if (rc != TH_OK)
        (void)unlinkat(cache->dir, temp, 0); // gives the space back
out:
    if (fd >= 0)
        (void)close(fd); // flushed, or thrown away; held until now against th_temp_clean
    return rc == TH_OK ? TH_OK : th_during(err, "writing feature cache \"%s\"", cache->path);
}

// The rows of a buffer are now in a segment, or, when `number` is TH_PLACE_ERASED, nowhere.
static void move_rows(th_feature_cache *cache, int which, uint32_t number)
{
    th_feature_buffer *buffer = &cache->buffers[which];

    for (int64_t i = 0; i < buffer->count;) {
        th_feature_lock(cache);
        for (int k = 0; k < AT_ONCE && i < buffer->count; k++, i++) {
            uint64_t          hash = th_feature_key_hash(&buffer->keys[i]);
            th_feature_place *place = th_feature_index_find(&cache->index, hash, NULL);
            while (place->segment != TH_BUFFER_PLACE(which))
                place = th_feature_index_find(&cache->index, hash, place);
            if (number == TH_PLACE_ERASED)
                th_feature_index_erase(&cache->index, place);
            else
                place->segment = number;
        }
        th_feature_unlock(cache);
    }
}

// Publishes buffer `which`, which nobody appends to.
static void write_buffer(th_feature_cache *cache, int which)
{
    th_err   why = { 0 };
    char     name[TH_SEGMENT_NAME];
    uint32_t number = TH_PLACE_ERASED;
    uint64_t name_hash;
    th_code  rc = write_segment(cache, &cache->buffers[which], name, &why);

    // Two runs may have written the same rows: then this segment may be known, and only its rows in
    // the buffer are new to us.
    if (rc == TH_OK && !known(cache, name, &name_hash)) {
        rc = th_feature_index_reserve(&cache->names, 1, &why);
        if (rc == TH_OK)
            th_feature_index_add(&cache->names, name_hash, 0, 0);
    }
    if (rc == TH_OK)
        rc = add_segment(cache, name, (uint64_t)cache->buffers[which].count, &number, &why);
    move_rows(cache, which, number);
    th_feature_lock(cache);
    cache->buffers[which].count = 0;
    cache->report.writing = cache->report.writing && rc == TH_OK;
    th_feature_unlock(cache);
    if (rc != TH_OK) {
        th_warn("feature cache \"%s\" grows no further; what it has is still used", cache->path);
        th_log_error(TH_WARN, &why);
    }
}

// When writing is off, the buffers' rows are given up with their memory.
static void give_up(th_feature_cache *cache)
{
    move_rows(cache, cache->filling, TH_PLACE_ERASED);
    th_feature_lock(cache);
    for (int i = 0; i < 2; i++) {
        cache->buffers[i].count = 0;
        th_arena_rewind(&cache->buffers[i].arena, 0);
        th_arena_trim(&cache->buffers[i].arena);
    }
    cache->due = false;
    th_feature_unlock(cache);
}

// --- the loop ---

static void write_next(th_feature_cache *cache)
{
    th_feature_lock(cache);
    int which = 1 - cache->filling; // stays so while busy
    th_feature_unlock(cache);
    write_buffer(cache, which);
    if (!cache->report.writing) // changed by this thread alone
        give_up(cache);
    th_feature_lock(cache);
    cache->busy = false;
    if (cache->due)
        th_feature_hand_over(cache);
    (void)pthread_cond_broadcast(&cache->changed);
    th_feature_unlock(cache);
}

static void look(th_feature_cache *cache)
{
    th_err why = { 0 };

    th_feature_lock(cache);
    cache->asked = cache->missed = false;
    cache->looking = true;
    th_feature_unlock(cache);
    // A folder that cannot be listed has nothing new; the next look may find it again.
    if (th_feature_cache_look(cache, &why) != TH_OK)
        th_debug("feature cache \"%s\": %s", cache->path, why.what);
    th_feature_lock(cache);
    cache->looking = false;
    cache->looks++;
    (void)pthread_cond_broadcast(&cache->changed);
    th_feature_unlock(cache);
}

static time_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time); // the condition's clock; cannot fail
    return time.tv_sec;
}

// Whether it is time to look at the folder. When nothing was missed, the time is put off.
static bool look_is_due(const th_feature_cache *cache, time_t *next_look)
{
    bool over = now() >= *next_look;

    if (over && !cache->missed)
        *next_look = now() + LOOK_SECONDS;
    return cache->asked || (over && cache->missed);
}

void *th_feature_cache_work(void *context)
{
    th_feature_cache *cache = context;
    time_t            next_look = now() + LOOK_SECONDS;
    bool              leave = false;

    while (!leave) {
        th_feature_lock(cache);
        while (!cache->busy && !cache->leave && !look_is_due(cache, &next_look)) {
            struct timespec until = { .tv_sec = next_look };
            (void)pthread_cond_timedwait(&cache->changed, &cache->lock, &until);
        }
        bool busy = cache->busy, wanted = look_is_due(cache, &next_look);
        leave = cache->leave && !busy;
        th_feature_unlock(cache);
        if (busy)
            write_next(cache);
        if (wanted) {
            look(cache);
            next_look = now() + LOOK_SECONDS;
        }
    }
    return NULL;
}
