#include "checkpoint/commit.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char fix_disk[] = "check that the disk has space and works";

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); // cannot fail for this clock
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Puts the file's bytes on disk and forgets its cached pages, so that reading it back is reading
// the disk (where the file system heeds the advice).
static th_code flush(const char *path, int64_t *out_bytes, th_err *err)
{
    th_code     rc = TH_OK;
    struct stat status;
    int         fd = open(path, O_RDWR | O_CLOEXEC);

    TH_CHECK(fd >= 0 && fstat(fd, &status) == 0, TH_EIO, fix_disk, "could not open file \"%s\": %s",
             path, strerror(errno));
    // What was reserved beyond the end is given back.
    TH_CHECK(ftruncate(fd, status.st_size) == 0, TH_EIO, fix_disk,
             "could not set the size of \"%s\": %s", path, strerror(errno));
    TH_CHECK(fsync(fd) == 0, TH_EIO, fix_disk, "could not flush file \"%s\": %s", path,
             strerror(errno));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    *out_bytes = status.st_size;
out:
    if (fd >= 0 && close(fd) != 0 && rc == TH_OK)
        rc = th_fail(err, TH_EIO, fix_disk, __FILE__, __LINE__, "could not close \"%s\": %s", path,
                     strerror(errno));
    return rc;
}

static bool same_state(const th_saved_state *a, const th_saved_state *b)
{
    // The numbers stand before the text and fill their bytes; behind the text's zero is anything.
    return memcmp(a, b, offsetof(th_saved_state, trigger)) == 0 &&
           strncmp(a->trigger, b->trigger, sizeof a->trigger) == 0;
}

_Static_assert(offsetof(th_saved_state, trigger) == 10 * sizeof(int64_t), "no padding to compare");

static bool same_shape(const th_tensor *a, const th_tensor *b)
{
    if (a->dimensions != b->dimensions || strcmp(a->name, b->name) != 0)
        return false;
    for (int d = 0; d < a->dimensions; d++)
        if (a->shape[d] != b->shape[d])
            return false;
    return true;
}

// The layout wrote part by part, so `hashes` holds all weights, then all first moments, then the
// second ones, each in the order of the parameters: the order in which they are read here.
static th_code compare_tensors(const th_layout *layout, const th_snapshot *snapshot,
                               const th_tensor_hash *hashes, int hash_count, th_err *err)
{
    th_code rc = TH_OK;
    int     next = 0;

    for (th_part part = 0; part < TH_PARTS; part++)
        for (int i = 0; i < snapshot->parameter_count; i++) {
            const th_saved_parameter *p = &snapshot->parameters[i];
            const bool there[TH_PARTS] = { true, p->exp_avg != NULL, p->exp_avg_sq != NULL };
            uint64_t   hash;
            if (!there[part])
                continue;
            TH_CHECK(next < hash_count, TH_EDATA, fix_disk, "a tensor was not written");
            TH_TRY(th_layout_read(layout, i, part, NULL, &hash, err));
            TH_CHECK(hash == hashes[next].hash, TH_EDATA, fix_disk,
                     "\"%s\" reads back other than it was written", hashes[next].path);
            next++;
        }
    TH_CHECK(next == hash_count, TH_EDATA, fix_disk, "a tensor was written twice");
out:
    return rc;
}

// The hash of the file as it reads back, taken in a thread of its own beside the comparison: both
// wait for the same disk.
typedef struct {
    const char *path;
    uint64_t    hash, bytes;
    th_code     code;
    th_err      error;
} file_hash;

static void *hash_file(void *context)
{
    file_hash *h = context;

    h->code = th_hash_file(h->path, &h->hash, &h->bytes, &h->error);
    return NULL;
}

static th_code compare(const char *path, const th_snapshot *snapshot, const th_manifest *manifest,
                       th_err *err)
{
    th_code    rc = TH_OK;
    th_layout *layout = NULL;
    int        count;

    TH_TRY(th_layout_open(path, &layout, err));
    TH_CHECK(same_state(th_layout_state(layout), &snapshot->state) &&
                 strcmp(th_layout_config(layout), snapshot->config) == 0,
             TH_EDATA, fix_disk, "state or config read back other than they were written");
    const th_saved_parameter *parameters = th_layout_parameters(layout, &count);
    TH_CHECK(count == snapshot->parameter_count, TH_EDATA, fix_disk,
             "%d parameters read back, %d were written", count, snapshot->parameter_count);
    for (int i = 0; i < count; i++)
        TH_CHECK(same_shape(&parameters[i].model, &snapshot->parameters[i].model) &&
                     parameters[i].step == snapshot->parameters[i].step,
                 TH_EDATA, fix_disk, "\"%s\" reads back other than it was written",
                 snapshot->parameters[i].model.name);
    TH_TRY(compare_tensors(layout, snapshot, manifest->tensors, manifest->tensor_count, err));
out:
    th_layout_close(layout);
    return rc;
}

// Reads the file back: its hash, which the manifest will hold, and everything in it against memory.
// HDF5 may open it before its hash is known: this process wrote it a moment ago.
static th_code read_back(const char *path, const th_snapshot *snapshot, th_manifest *manifest,
                         th_err *err)
{
    file_hash h = { .path = path };
    pthread_t thread;
    bool      started = pthread_create(&thread, NULL, hash_file, &h) == 0;
    th_code   rc = compare(path, snapshot, manifest, err);

    if (started)
        (void)pthread_join(thread, NULL); // fails only for a thread that is not ours
    else
        (void)hash_file(&h);
    if (rc == TH_OK && h.code != TH_OK) {
        rc = h.code;
        *err = h.error;
    }
    if (rc == TH_OK && h.bytes != (uint64_t)manifest->generation.bytes)
        rc = th_fail(err, TH_EDATA, fix_disk, __FILE__, __LINE__,
                     "\"%s\" reads back shorter than it was written", path);
    manifest->hash = h.hash;
    return rc == TH_OK ? TH_OK : th_during(err, "reading back \"%s\"", path);
}

// A step that was committed before keeps its file until the new manifest names the new one.
static void choose_name(const char *folder, int64_t step, char name[TH_MANIFEST_NAME])
{
    th_manifest old = { 0 };

    th_data_name(step, false, name);
    bool second = th_manifest_read(folder, step, &old, NULL) == TH_OK &&
                  strcmp(old.generation.name, name) == 0;
    th_data_name(step, second, name);
    th_manifest_done(&old);
}

static th_code join_paths(const char *folder, const char *name, char path[PATH_MAX],
                          char tmp[PATH_MAX], th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(path, PATH_MAX, folder, name) &&
                 snprintf(tmp, PATH_MAX, "%s.tmp", path) < PATH_MAX,
             TH_EIO, "use a shorter path", "the path of \"%s\" is too long", name);
out:
    return rc;
}

th_code th_commit(const th_writer_options *options, const th_snapshot *snapshot,
                  th_commit_times *out_times, th_err *err)
{
    th_code     rc = TH_OK;
    double      start = seconds_now(), flushed;
    char        path[PATH_MAX] = "", tmp[PATH_MAX] = "";
    const char *folder = options->folder, *mine = NULL; // the file that failing would leave behind
    int64_t     limit_bytes;
    th_manifest m = { .generation = { .step = snapshot->state.step,
                                      .samples_seen = snapshot->state.samples_seen,
                                      .stage = snapshot->state.stage } };

    TH_TRY(th_prune_leftovers(folder, err));
    choose_name(folder, snapshot->state.step, m.generation.name);
    TH_TRY(join_paths(folder, m.generation.name, path, tmp, err));
    TH_TRY(th_layout_size(snapshot, &limit_bytes, err));
    TH_TRY(th_alloc((size_t)snapshot->parameter_count * TH_PARTS, sizeof *m.tensors, "a manifest",
                    (void **)&m.tensors, err));
    mine = tmp;
    TH_TRY(th_layout_write(tmp, snapshot, limit_bytes, m.tensors, &m.tensor_count, err));
    TH_TRY(flush(tmp, &m.generation.bytes, err));
    flushed = seconds_now() - start;
    TH_TRY(read_back(tmp, snapshot, &m, err));
    if (options->before_commit)
        TH_TRY(options->before_commit(options->context, err));
    TH_TRY(th_file_publish(AT_FDCWD, tmp, path, err));
    mine = path;
    m.generation.time = (int64_t)time(NULL);
    TH_TRY(th_manifest_write(folder, &m, err));
    mine = NULL;
    *out_times = (th_commit_times){ flushed, seconds_now() - start };
    th_err late = { 0 };
    if (th_prune_generations(folder, m.generation.step, options->keep, &late) != TH_OK)
        th_log_error(TH_WARN, &late);
out:
    if (mine)
        (void)unlink(mine); // gives the space back; when that fails the next commit does it
    th_manifest_done(&m);
    return rc == TH_OK ? TH_OK
                       : th_during(err, "committing step %lld", (long long)snapshot->state.step);
}
