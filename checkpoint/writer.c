#include "checkpoint/writer.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/commit.h"
#include "checkpoint/copy.h"
#include "checkpoint/hdf5.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct th_writer {
    th_writer_options options;
    char             *folder;
    th_copy           copy; // the writer's thread owns it while busy
    pthread_t         thread;
    pthread_mutex_t   lock; // of all below
    pthread_cond_t    changed;
    bool              busy; // preparing the memory, or a commit is under way or asked for
    bool              asked, leave;
    th_code           last_code; // of the last commit
    th_err            last_error;
    th_writer_report  report;
};

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); // cannot fail for this clock
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// A default mutex that is not shared fails only when it is misused, which is our own mistake.
static void lock(th_writer *w)
{
    (void)pthread_mutex_lock(&w->lock);
}

static void unlock(th_writer *w)
{
    (void)pthread_mutex_unlock(&w->lock);
}

static void become_idle(th_writer *w)
{
    w->busy = false;
    (void)pthread_cond_broadcast(&w->changed);
}

static void commit_one(th_writer *w)
{
    th_err          error = { 0 };
    th_commit_times times;
    int64_t         step = w->copy.snapshot.state.step;
    th_code         code = th_commit(&w->options, &w->copy.snapshot, &times, &error);

    lock(w);
    w->last_code = code;
    w->last_error = error;
    if (code == TH_OK) {
        w->report.committed_step = step;
        w->report.flushed_seconds = times.flushed_seconds;
        w->report.durable_seconds = times.committed_seconds;
    } else {
        w->report.failures++;
    }
    unlock(w);
    if (code == TH_OK) {
        th_info("checkpoint of step %" PRId64 " committed in %.2f s", step,
                times.committed_seconds);
    } else {
        th_alarm("checkpoint of step %" PRId64 " failed; older generations stand", step);
        th_log_error(TH_ALARM, &error);
    }
}

static void *work(void *context)
{
    th_writer *w = context;

    th_copy_touch(&w->copy);
    lock(w);
    become_idle(w);
    for (;;) {
        while (!w->asked && !w->leave)
            (void)pthread_cond_wait(&w->changed, &w->lock);
        if (!w->asked)
            break;
        w->asked = false;
        unlock(w);
        commit_one(w);
        lock(w);
        become_idle(w);
    }
    unlock(w);
    return NULL;
}

// Signals are for the training's thread: the writer is never interrupted in a write.
static int start_thread(th_writer *w)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&w->thread, NULL, work, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

th_code th_writer_open(const th_writer_options *options, const th_snapshot *snapshot,
                       th_writer **out, th_err *err)
{
    th_code    rc = TH_OK;
    th_writer *w = NULL;

    TH_CHECK(options->keep >= 2, TH_EUSAGE, "set checkpoint.keep to 2 or more",
             "cannot keep %" PRId64 " generations: a damaged one needs another before it",
             options->keep);
    TH_TRY(th_hdf5_begin(err));
    TH_TRY(th_folder_make(options->folder, err));
    TH_TRY(th_alloc(1, sizeof *w, "the checkpoint writer", (void **)&w, err));
    w->options = *options;
    w->folder = strdup(options->folder);
    w->options.folder = w->folder;
    w->report = (th_writer_report){ .committed_step = -1 };
    w->busy = true;
    TH_CHECK(w->folder, TH_EIO, "free some memory", "could not start the checkpoint writer");
    TH_TRY(th_copy_open(&w->copy, snapshot, err));
    TH_CHECK(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->changed, NULL) == 0,
             TH_EIO, "free some memory", "could not start the checkpoint writer");
    int reason = start_thread(w);
    TH_CHECK(reason == 0, TH_EIO, "allow more threads (ulimit -u)",
             "could not start the checkpoint writer: %s", strerror(reason));
    *out = w;
    w = NULL;
out:
    if (w) {
        th_copy_close(&w->copy);
        free(w->folder);
        free(w);
    }
    return rc;
}

static void wait_idle(th_writer *w)
{
    while (w->busy)
        (void)pthread_cond_wait(&w->changed, &w->lock);
}

th_code th_writer_save(th_writer *writer, const th_snapshot *snapshot, th_err *err)
{
    th_code rc = TH_OK;
    double  start = seconds_now();

    lock(writer);
    wait_idle(writer);
    unlock(writer); // the thread sleeps until it is asked: the copy is ours
    TH_TRY(th_copy_take(&writer->copy, snapshot, err));
    lock(writer);
    writer->report.stall_seconds = seconds_now() - start;
    writer->asked = writer->busy = true;
    (void)pthread_cond_broadcast(&writer->changed);
    unlock(writer);
out:
    return rc;
}

th_code th_writer_wait(th_writer *writer, th_err *err)
{
    lock(writer);
    wait_idle(writer);
    th_code code = writer->last_code;
    if (code != TH_OK && err)
        *err = writer->last_error;
    unlock(writer);
    return code;
}

th_writer_report th_writer_status(th_writer *writer)
{
    lock(writer);
    th_writer_report report = writer->report;
    unlock(writer);
    return report;
}

void th_writer_close(th_writer *writer)
{
    if (!writer)
        return;
    lock(writer);
    wait_idle(writer);
    writer->leave = true;
    (void)pthread_cond_broadcast(&writer->changed);
    unlock(writer);
    (void)pthread_join(writer->thread, NULL); // fails only for a thread that is not ours
    (void)pthread_cond_destroy(&writer->changed);
    (void)pthread_mutex_destroy(&writer->lock);
    th_copy_close(&writer->copy);
    free(writer->folder);
    free(writer);
}
