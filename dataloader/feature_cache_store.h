/* dataloader/feature_cache_store.h - the inside of a th_feature_cache: what its callers' threads
 * (feature_cache.c) and its own thread (feature_cache_thread.c) share.
 *
 * A row begins in one of two buffers. When that is full or flushed it is handed over to the thread,
 * which writes it as a segment, moves the rows' places in the index from the buffer to the segment,
 * and empties the buffer. It also reads the keys of segments that others have published. Files
 * are listed and written by the thread alone; rows are read by those who get them. */
#ifndef TH_DATALOADER_FEATURE_CACHE_STORE_H
#define TH_DATALOADER_FEATURE_CACHE_STORE_H

#include "base/memory.h"
#include "dataloader/feature_cache.h"
#include "dataloader/feature_cache_index.h"
#include "dataloader/feature_cache_segment.h"
#include <limits.h>
#include <pthread.h>

#define TH_BUFFER_PLACE(i) (TH_PLACE_SEGMENTS + (uint32_t)(i)) // buffer i as a segment of the index

typedef struct {
    char     name[TH_SEGMENT_NAME];
    uint64_t rows;
    int      fd;      // -1 while it is closed
    int      readers; // threads that read from fd
    uint64_t used;    // tick of the last get
} th_feature_segment;

typedef struct {
    th_arena        arena; // of both arrays: pages that were never used take no memory
    th_feature_key *keys;  // [capacity]
    unsigned char  *rows;  // [capacity, row_bytes + TH_ROW_TRAILER], as in a segment
    int64_t         count;
} th_feature_buffer;

struct th_feature_cache {
    // Set at open.
    char      path[PATH_MAX];
    int       dir; // the folder, open
    uint64_t  key;
    size_t    row_bytes;
    int       rank;
    int64_t   budget_bytes;
    int64_t   capacity; // rows of a buffer
    pthread_t thread;
    // The thread's own.
    th_feature_index names; // hash of each segment's name that was looked at

    // The thread reads a buffer that is not being filled without the lock: nobody changes that.
    pthread_mutex_t         lock; // of all below
    pthread_cond_t          changed;
    th_feature_index        index;
    th_feature_segment     *segments;
    int                     segment_count, segment_room, open_count;
    uint64_t                tick;
    th_feature_buffer       buffers[2];
    int                     filling;        // the buffer that put appends to
    bool                    busy;           // the other one is being written, or about to be
    bool                    due;            // the one being filled is to be written after it
    bool                    missed;         // since the last look
    bool                    asked, looking; // for a look at the folder now
    uint64_t                looks;          // that are over
    bool                    leave;
    th_feature_cache_report report;
};

/* The lock. A default mutex that is not shared fails only when it is misused. */
static inline void th_feature_lock(th_feature_cache *cache)
{
    (void)pthread_mutex_lock(&cache->lock);
}

static inline void th_feature_unlock(th_feature_cache *cache)
{
    (void)pthread_mutex_unlock(&cache->lock);
}

/* Gives the buffer that is filled to the thread and goes on with the other one, when it holds rows
 * and the thread is not busy; else it stays due. With the lock held. */
static inline void th_feature_hand_over(th_feature_cache *cache)
{
    if (cache->buffers[cache->filling].count > 0 && !cache->busy) {
        cache->filling = 1 - cache->filling; // empty: its rows have moved to a segment
        cache->busy = true;
        cache->due = false;
    }
    (void)pthread_cond_broadcast(&cache->changed);
}

/* Reads the keys of segments that are new in the folder. One that is not whole is logged and left
 * out. By the thread, or before it runs. Errors: TH_EIO when the folder cannot be listed. */
TH_MUST_CHECK th_code th_feature_cache_look(th_feature_cache *cache, th_err *err);

/* The thread: its argument is the cache. Ends when `leave` is set and nothing is to be written. */
void *th_feature_cache_work(void *cache);

#endif
