#include "trainer/metrics.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "trainer/scalars.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct th_metrics {
    int             metrics, timings; // files
    pthread_mutex_t lock;             // the checkpoint writer flushes beside a step
    int64_t         written;          // bytes of metrics.jsonl on file
    char           *pending;          // lines that are not: the disk may be full for a while
    size_t          pending_bytes, pending_room;
    bool            alarmed; // a full disk is said once, not at every step
};

typedef struct {
    FILE  *to;
    char  *text;
    size_t size;
} line;

static const char *const fix = "check that the run directory exists, is writable and has space";

static th_code open_file(const char *folder, const char *name, int flags, int *out, th_err *err)
{
    char    path[4096];
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EUSAGE, "use a shorter run_dir",
             "path \"%s/%s\" is too long", folder, name);
    *out = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644);
    TH_CHECK(*out >= 0, TH_EIO, fix, "could not open file \"%s\": %s", path, strerror(errno));
out:
    return rc;
}

th_code th_metrics_open(const char *folder, int64_t bytes, th_metrics **out, th_err *err)
{
    th_metrics *metrics = NULL;
    struct stat status;
    th_code     rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *metrics, "metrics", (void **)&metrics, err));
    metrics->metrics = metrics->timings = -1;
    (void)pthread_mutex_init(&metrics->lock, NULL); // cannot fail with default attributes
    TH_TRY(open_file(folder, "metrics.jsonl", 0, &metrics->metrics, err));
    TH_TRY(open_file(folder, "timings.jsonl", O_APPEND, &metrics->timings, err));
    TH_CHECK(fstat(metrics->metrics, &status) == 0, TH_EIO, fix,
             "could not look at \"%s/metrics.jsonl\": %s", folder, strerror(errno));
    TH_CHECK(status.st_size >= bytes, TH_EDATA,
             "restore metrics.jsonl, or remove the newest checkpoint to go on from the one before",
             "file \"%s/metrics.jsonl\" has %lld bytes where the checkpoint knows of %lld", folder,
             (long long)status.st_size, (long long)bytes);
    TH_CHECK(ftruncate(metrics->metrics, bytes) == 0, TH_EIO, fix,
             "could not cut \"%s/metrics.jsonl\" to %lld bytes: %s", folder, (long long)bytes,
             strerror(errno));
    metrics->written = bytes;
    *out = metrics;
out:
    if (rc != TH_OK)
        th_metrics_close(metrics);
    return rc;
}

void th_metrics_close(th_metrics *metrics)
{
    if (!metrics)
        return;
    if (metrics->metrics >= 0)
        (void)close(metrics->metrics); // th_metrics_flush has seen to what must be there
    if (metrics->timings >= 0)
        (void)close(metrics->timings);
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics->pending);
    free(metrics);
}

// JSON has no NaN and no infinity: they stand as null.
static const char *number(double value, char *text, size_t size)
{
    if (isfinite(value))
        (void)snprintf(text, size, "%.9g", value);
    else
        (void)snprintf(text, size, "null");
    return text;
}

// Writes what is pending; what does not go stays pending. Called with the lock.
static th_code write_pending(th_metrics *metrics, th_err *err)
{
    th_code rc = TH_OK;

    while (metrics->pending_bytes > 0) {
        ssize_t done =
            pwrite(metrics->metrics, metrics->pending, metrics->pending_bytes, metrics->written);
        if (done < 0 && errno == EINTR)
            continue;
        TH_CHECK(done > 0, TH_EIO, fix, "could not write metrics.jsonl: %s", strerror(errno));
        metrics->written += done;
        metrics->pending_bytes -= (size_t)done;
        memmove(metrics->pending, metrics->pending + done, metrics->pending_bytes);
    }
    metrics->alarmed = false;
out:
    return rc;
}

// A line is kept in memory until it is written, so a disk that is full for a while loses none.
static th_code append(th_metrics *metrics, const char *text, size_t size, th_err *err)
{
    th_err  full = { 0 };
    th_code rc = TH_OK;

    (void)pthread_mutex_lock(&metrics->lock);
    if (metrics->pending_bytes + size > metrics->pending_room) {
        size_t room = 2 * (metrics->pending_bytes + size);
        char  *grown = realloc(metrics->pending, room);
        TH_CHECK(grown, TH_EIO, fix, "could not keep %zu bytes of metrics in memory", room);
        metrics->pending = grown;
        metrics->pending_room = room;
    }
    memcpy(metrics->pending + metrics->pending_bytes, text, size);
    metrics->pending_bytes += size;
    if (write_pending(metrics, &full) != TH_OK && !metrics->alarmed) {
        th_log_error(TH_ALARM, &full);
        metrics->alarmed = true;
    }
out:
    (void)pthread_mutex_unlock(&metrics->lock);
    return rc;
}

static th_code line_open(line *out, th_err *err)
{
    th_code rc = TH_OK;

    *out = (line){ 0 };
    out->to = open_memstream(&out->text, &out->size);
    TH_CHECK(out->to, TH_EIO, fix, "could not write a line of metrics: no memory");
out:
    return rc;
}

// Ends the line and hands it on. The line is gone afterwards.
static th_code line_append(line *this, th_metrics *metrics, th_err *err)
{
    th_code rc = TH_OK;

    (void)fputs("}\n", this->to);
    int closed = fclose(this->to); // tells of all that went wrong before
    TH_CHECK(closed == 0, TH_EIO, fix, "could not write a line of metrics: no memory");
    TH_TRY(append(metrics, this->text, this->size, err));
out:
    free(this->text);
    return rc;
}

static void put(line *this, const char *name, double value)
{
    char text[32];

    (void)fprintf(this->to, ", \"%s\": %s", name, number(value, text, sizeof text));
}

th_code th_metrics_step(th_metrics *metrics, const th_step_report *report, th_err *err)
{
    char    timing[512];
    line    computed;
    double  value;
    th_code rc = TH_OK;

    TH_TRY(line_open(&computed, err));
    (void)fprintf(computed.to, "{\"step\": %lld, \"samples_seen\": %lld", (long long)report->step,
                  (long long)report->samples_seen);
    for (int i = 0; i < th_step_scalar_count; i++)
        if (th_step_scalar(&th_step_scalars[i], report, &value))
            put(&computed, th_step_scalars[i].name, value);
    if (report->group_rates && *report->group_rates)
        (void)fprintf(computed.to, ", \"train/lr/groups\": %s", report->group_rates);
    if (report->skipped)
        (void)fputs(", \"train/skipped\": true", computed.to);
    TH_TRY(line_append(&computed, metrics, err));

    double rate = report->seconds > 0 ? (double)report->batch / report->seconds : 0;
    int    size = snprintf(timing, sizeof timing,
                           "{\"step\": %lld, \"train/step_time\": %.6f, \"train/data_time\": %.6f, "
                              "\"train/checkpoint_time\": %.6f, \"train/samples_per_second\": %.2f}\n",
                           (long long)report->step, report->seconds, report->data_seconds,
                           report->checkpoint_seconds, rate);
    // Timings are for the eye: a full disk has been said above, and a line less hurts nobody.
    (void)!write(metrics->timings, timing, (size_t)size);
out:
    return rc;
}

th_code th_metrics_eval(th_metrics *metrics, const th_eval_report *report, th_err *err)
{
    line    computed;
    th_code rc = TH_OK;

    TH_TRY(line_open(&computed, err));
    (void)fprintf(computed.to, "{\"step\": %lld", (long long)report->step);
    for (int i = 0; i < th_eval_scalar_count; i++)
        put(&computed, th_eval_scalars[i].name, th_eval_scalar(&th_eval_scalars[i], report));
    TH_TRY(line_append(&computed, metrics, err));
out:
    return rc;
}

th_code th_metrics_event(th_metrics *metrics, const th_stage_event *event, th_err *err)
{
    char   *written = NULL;
    json_t *json =
        json_pack("{s:I, s:s, s:s, s:s*, s:I, s:I}", "step", (json_int_t)event->step, "stage",
                  event->stage, "event", event->event, "group", event->group, "trainable/image",
                  (json_int_t)event->image, "trainable/text", (json_int_t)event->text);
    th_code rc = TH_OK;

    written = json ? json_dumps(json, 0) : NULL;
    TH_CHECK(written, TH_EIO, fix, "could not write an event: no memory");
    TH_TRY(append(metrics, written, strlen(written), err));
    TH_TRY(append(metrics, "\n", 1, err));
out:
    free(written);
    json_decref(json);
    return rc;
}

int64_t th_metrics_bytes(const th_metrics *metrics)
{
    return metrics->written + (int64_t)metrics->pending_bytes;
}

th_code th_metrics_flush(th_metrics *metrics, th_err *err)
{
    th_code rc = TH_OK;

    (void)pthread_mutex_lock(&metrics->lock);
    TH_TRY(write_pending(metrics, err));
    TH_CHECK(fdatasync(metrics->metrics) == 0, TH_EIO, fix, "could not flush metrics.jsonl: %s",
             strerror(errno));
out:
    (void)pthread_mutex_unlock(&metrics->lock);
    return rc;
}
