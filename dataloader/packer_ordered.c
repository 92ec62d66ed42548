#include "dataloader/packer_ordered.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_NANOSECONDS 200000000

typedef struct {
    bool    done; // worked on, and not yet given
    th_code rc;
    th_err  err;
} slot_state;

typedef struct {
    const th_ordered_job *job;
    pthread_mutex_t       lock; // of all that follows
    pthread_cond_t        room, ready;
    int64_t               slot_count, taken, given; // item i is in slot i % slot_count
    bool                  taking;                   // one thread is inside take()
    bool                  ended;                    // no item will be taken any more
    slot_state           *states;
    unsigned char        *slots;
} ordered;

typedef struct {
    ordered  *all;
    int       number;
    pthread_t thread;
} worker;

static void *slot_of(const ordered *o, int64_t item)
{
    return o->slots + (size_t)(item % o->slot_count) * o->job->slot_bytes;
}

static void *run_worker(void *context)
{
    worker  *w = context;
    ordered *o = w->all;

    (void)pthread_mutex_lock(&o->lock);
    for (;;) {
        while (!o->ended && (o->taking || o->taken - o->given >= o->slot_count))
            (void)pthread_cond_wait(&o->room, &o->lock);
        if (o->ended)
            break;
        int64_t     item = o->taken;
        slot_state *state = &o->states[item % o->slot_count];
        bool        more = true;
        o->taking = true;
        (void)pthread_mutex_unlock(&o->lock);
        th_code rc = o->job->take(o->job->context, slot_of(o, item), &more, &state->err);

        (void)pthread_mutex_lock(&o->lock);
        o->taking = false;
        o->taken += rc != TH_OK || more;
        o->ended |= rc != TH_OK || !more;
        (void)pthread_cond_broadcast(&o->room);
        if (rc == TH_OK && !more)
            break;
        (void)pthread_mutex_unlock(&o->lock);
        if (rc == TH_OK)
            rc = o->job->work(o->job->context, w->number, slot_of(o, item), &state->err);

        (void)pthread_mutex_lock(&o->lock);
        state->rc = rc;
        state->done = true;
        o->ended |= rc != TH_OK; // items before this one are still finished and given
        (void)pthread_cond_signal(&o->ready);
    }
    (void)pthread_cond_broadcast(&o->room);
    (void)pthread_cond_signal(&o->ready);
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

// Waits for the next item in order; false when there is none. Holds the lock before and after.
static bool wait_for_item(ordered *o)
{
    for (;;) {
        if (o->given < o->taken && o->states[o->given % o->slot_count].done)
            return true;
        if (o->ended && !o->taking && o->given == o->taken)
            return false;
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_NANOSECONDS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&o->ready, &o->lock, &until);
        (void)pthread_mutex_unlock(&o->lock);
        o->job->tick(o->job->context);
        (void)pthread_mutex_lock(&o->lock);
    }
}

static th_code give_all(ordered *o, th_err *err)
{
    th_code rc = TH_OK;

    (void)pthread_mutex_lock(&o->lock);
    while (rc == TH_OK && wait_for_item(o)) {
        slot_state *state = &o->states[o->given % o->slot_count];
        rc = state->rc;
        if (rc != TH_OK) {
            if (err)
                *err = state->err;
            break;
        }
        (void)pthread_mutex_unlock(&o->lock);
        o->job->tick(o->job->context);
        rc = o->job->give(o->job->context, slot_of(o, o->given),
                          err); // only this thread adds to given
        (void)pthread_mutex_lock(&o->lock);
        state->done = false;
        o->given++;
        (void)pthread_cond_broadcast(&o->room);
    }
    o->ended = true;
    (void)pthread_cond_broadcast(&o->room);
    (void)pthread_mutex_unlock(&o->lock);
    return rc;
}

static th_code run_threads(ordered *o, worker *workers, th_err *err)
{
    th_code rc = TH_OK;
    int     started = 0;

    for (; started < o->job->threads; started++) {
        workers[started] = (worker){ .all = o, .number = started };
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) != 0)
            break; // fewer will do
    }
    TH_CHECK(started > 0, TH_EIO, "allow more threads or memory", "could not start a thread");
    rc = give_all(o, err);
out:
    for (int i = 0; i < started; i++)
        (void)pthread_join(workers[i].thread, NULL);
    return rc;
}

th_code th_ordered_run(const th_ordered_job *job, th_err *err)
{
    th_code            rc = TH_OK;
    ordered            o = { .job = job, .slot_count = 2 * (int64_t)job->threads + 2 };
    void              *memory = NULL;
    worker            *workers = NULL;
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&o.lock, NULL); // on Linux none of these can fail
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&o.room, NULL);
    (void)pthread_cond_init(&o.ready, &monotonic);
    TH_TRY(th_alloc((size_t)o.slot_count, job->slot_bytes, "a queue", &memory, err));
    o.slots = memory;
    TH_TRY(th_alloc((size_t)o.slot_count, sizeof *o.states, "a queue", &memory, err));
    o.states = memory;
    TH_TRY(th_alloc((size_t)job->threads, sizeof *workers, "a queue", &memory, err));
    workers = memory;
    rc = run_threads(&o, workers, err);
out:
    for (int64_t i = 0; o.slots && i < o.slot_count; i++)
        job->drop(job->context, slot_of(&o, i));
    free(o.slots);
    free(o.states);
    free(workers);
    (void)pthread_cond_destroy(&o.room);
    (void)pthread_cond_destroy(&o.ready);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_destroy(&o.lock);
    return rc;
}
