#include "trainer/metrics.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

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
static th_code append(th_metrics *metrics, const char *line, size_t size, th_err *err)
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
    memcpy(metrics->pending + metrics->pending_bytes, line, size);
    metrics->pending_bytes += size;
    if (write_pending(metrics, &full) != TH_OK && !metrics->alarmed) {
        th_log_error(TH_ALARM, &full);
        metrics->alarmed = true;
    }
out:
    (void)pthread_mutex_unlock(&metrics->lock);
    return rc;
}

th_code th_metrics_step(th_metrics *metrics, const th_step_report *report, th_err *err)
{
    char    line[512], loss[32], norm[32], scale[32], lr[32];
    th_code rc = TH_OK;

    int size = snprintf(
        line, sizeof line,
        "{\"step\": %lld, \"samples_seen\": %lld, \"train/loss\": %s, \"train/grad_norm\": %s, "
        "\"train/logit_scale\": %s, \"train/lr\": %s%s}\n",
        (long long)report->step, (long long)report->samples_seen,
        number(report->loss, loss, sizeof loss), number(report->grad_norm, norm, sizeof norm),
        number(report->logit_scale, scale, sizeof scale), number(report->lr, lr, sizeof lr),
        report->skipped ? ", \"train/skipped\": true" : "");
    TH_TRY(append(metrics, line, (size_t)size, err));

    double rate = report->seconds > 0 ? (double)report->batch / report->seconds : 0;
    size = snprintf(line, sizeof line,
                    "{\"step\": %lld, \"train/step_time\": %.6f, \"train/data_time\": %.6f, "
                    "\"train/checkpoint_time\": %.6f, \"train/samples_per_second\": %.2f}\n",
                    (long long)report->step, report->seconds, report->data_seconds,
                    report->checkpoint_seconds, rate);
    // Timings are for the eye: a full disk has been said above, and a line less hurts nobody.
    (void)!write(metrics->timings, line, (size_t)size);
out:
    return rc;
}

th_code th_metrics_eval(th_metrics *metrics, const th_eval_report *report, th_err *err)
{
    const th_retrieval *found = &report->retrieval;
    char                line[1024], loss[32];

    int size =
        snprintf(line, sizeof line,
                 "{\"step\": %lld, \"val/loss\": %s, \"val/text_to_image_R@1\": %.9g, "
                 "\"val/text_to_image_R@5\": %.9g, \"val/text_to_image_R@10\": %.9g, "
                 "\"val/text_to_image_median_rank\": %.9g, \"val/image_to_text_R@1\": %.9g, "
                 "\"val/image_to_text_R@5\": %.9g, \"val/image_to_text_R@10\": %.9g, "
                 "\"val/image_to_text_median_rank\": %.9g}\n",
                 (long long)report->step, number(report->loss, loss, sizeof loss),
                 found->text_to_image[0], found->text_to_image[1], found->text_to_image[2],
                 found->text_to_image_median, found->image_to_text[0], found->image_to_text[1],
                 found->image_to_text[2], found->image_to_text_median);
    return append(metrics, line, (size_t)size, err);
}

th_code th_metrics_event(th_metrics *metrics, int64_t step, const char *event, const char *stage,
                         const char *group, int64_t image, int64_t text, th_err *err)
{
    char   *line = NULL;
    json_t *json = json_pack("{s:I, s:s, s:s, s:s*, s:I, s:I}", "step", (json_int_t)step, "stage",
                             stage, "event", event, "group", group, "trainable/image",
                             (json_int_t)image, "trainable/text", (json_int_t)text);
    th_code rc = TH_OK;

    line = json ? json_dumps(json, 0) : NULL;
    TH_CHECK(line, TH_EIO, fix, "could not write an event: no memory");
    TH_TRY(append(metrics, line, strlen(line), err));
    TH_TRY(append(metrics, "\n", 1, err));
out:
    free(line);
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
