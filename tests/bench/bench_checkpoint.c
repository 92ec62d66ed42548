/* tests/bench/bench_checkpoint.c - what a checkpoint costs the training, and how long it takes.
 *
 *     bench_checkpoint [FOLDER [LAYERS [SAVES]]]      12 layers: CLIP ViT-B/32, 1.82 GB with
 * moments
 *
 * In the same folder, in turn: a bare write + fsync of the same bytes (buffered, 4 MiB a call, a
 * new file each time; once plainly and once with its space reserved by fallocate, as the writer
 * does it), and a save. Prints the median over SAVES (default 3) after one unmeasured round, and
 * the load of the newest generation, from the page cache and from the disk. */
#include "base/file.h"
#include "base/memory.h"
#include "checkpoint/generations.h"
#include "checkpoint/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_PARAMETERS 1024
#define MOST_SAVES      32

typedef struct {
    th_saved_parameter parameters[MOST_PARAMETERS];
    char               names[MOST_PARAMETERS][TH_TENSOR_NAME];
    int                count;
    int64_t            elements;
} model;

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void add(model *m, const char *prefix, const char *name, int64_t rows, int64_t columns)
{
    th_saved_parameter *p = &m->parameters[m->count];

    (void)snprintf(m->names[m->count], TH_TENSOR_NAME, "%s%s", prefix, name);
    p->model = (th_tensor){ .name = m->names[m->count++],
                            .dimensions = columns ? 2 : 1,
                            .shape = { rows, columns } };
    p->step = 1000;
    m->elements += rows * (columns ? columns : 1);
}

static void add_block(model *m, const char *tower, int layer, int64_t width)
{
    char prefix[64];

    (void)snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower, layer);
    add(m, prefix, "ln_1.weight", width, 0);
    add(m, prefix, "ln_1.bias", width, 0);
    add(m, prefix, "attn.in_proj_weight", 3 * width, width);
    add(m, prefix, "attn.in_proj_bias", 3 * width, 0);
    add(m, prefix, "attn.out_proj.weight", width, width);
    add(m, prefix, "attn.out_proj.bias", width, 0);
    add(m, prefix, "ln_2.weight", width, 0);
    add(m, prefix, "ln_2.bias", width, 0);
    add(m, prefix, "mlp.c_fc.weight", 4 * width, width);
    add(m, prefix, "mlp.c_fc.bias", 4 * width, 0);
    add(m, prefix, "mlp.c_proj.weight", width, 4 * width);
    add(m, prefix, "mlp.c_proj.bias", width, 0);
}

static th_code make_model(model *m, int layers, th_err *err)
{
    th_code rc = TH_OK;
    float  *data = NULL;

    add(m, "visual.", "class_embedding", 768, 0);
    add(m, "visual.", "positional_embedding", 50, 768);
    add(m, "visual.", "conv1.weight", 768, 3072);
    add(m, "visual.", "ln_pre.weight", 768, 0);
    add(m, "visual.", "ln_pre.bias", 768, 0);
    for (int i = 0; i < layers; i++)
        add_block(m, "visual.", i, 768);
    add(m, "visual.", "ln_post.weight", 768, 0);
    add(m, "visual.", "ln_post.bias", 768, 0);
    add(m, "visual.", "proj", 768, 512);
    add(m, "", "token_embedding.weight", 49408, 512);
    add(m, "", "positional_embedding", 77, 512);
    for (int i = 0; i < layers; i++)
        add_block(m, "", i, 512);
    add(m, "", "ln_final.weight", 512, 0);
    add(m, "", "ln_final.bias", 512, 0);
    add(m, "", "text_projection", 512, 512);
    TH_TRY(th_alloc((size_t)m->elements, 3 * sizeof *data, "a model", (void **)&data, err));
    for (int64_t i = 0; i < 3 * m->elements; i++) // bits without a pattern, so nothing is sparse
        data[i] = (float)(uint32_t)(i * 2654435761) * 1e-9f;
    for (int i = 0; i < m->count; i++) {
        th_tensor *t = &m->parameters[i].model;
        t->data = data;
        m->parameters[i].exp_avg = data + m->elements;
        m->parameters[i].exp_avg_sq = data + 2 * m->elements;
        data += t->shape[0] * (t->shape[1] ? t->shape[1] : 1);
    }
out:
    return rc;
}

static th_code bare_write(const char *folder, const model *m, bool reserve, double *out_seconds,
                          th_err *err)
{
    th_code     rc = TH_OK;
    char        path[PATH_MAX];
    size_t      size = (size_t)m->elements * 3 * sizeof(float), piece = (size_t)4 << 20;
    const char *bytes = (const char *)m->parameters[0].model.data;
    int         fd = -1;

    TH_CHECK(th_path_join(path, sizeof path, folder, "bare"), TH_EIO, "", "path too long");
    double start = seconds_now();
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    TH_CHECK(fd >= 0, TH_EIO, "", "could not make \"%s\": %s", path, strerror(errno));
    TH_CHECK(!reserve || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0, TH_EIO, "",
             "could not reserve space: %s", strerror(errno));
    for (size_t at = 0; at < size; at += piece)
        TH_TRY(th_write_all(fd, bytes + at, size - at < piece ? size - at : piece, path, err));
    TH_CHECK(fsync(fd) == 0, TH_EIO, "", "could not flush \"%s\": %s", path, strerror(errno));
    *out_seconds = seconds_now() - start;
out:
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    return rc;
}

static th_code load(const char *folder, const model *m, double *out_seconds, th_err *err)
{
    th_code    rc = TH_OK;
    double     start = seconds_now();
    th_reader *reader = NULL;
    int64_t    step;
    bool       moments;

    TH_TRY(th_reader_open_newest(folder, &reader, NULL, err));
    for (int i = 0; i < m->count; i++)
        TH_TRY(th_reader_load(reader, &m->parameters[i], &step, &moments, err));
    *out_seconds = seconds_now() - start;
out:
    th_reader_close(reader);
    return rc;
}

// Removes the cached pages of every file in the folder.
static void forget_cache(const char *folder)
{
    DIR *directory = opendir(folder);

    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            (void)close(fd);
        }
    }
    if (directory)
        (void)closedir(directory);
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static th_code run(const char *folder, int layers, int saves, th_err *err)
{
    th_code      rc = TH_OK;
    static model m; // too large for the stack
    th_writer   *writer = NULL;
    double       stall[MOST_SAVES], flushed[MOST_SAVES], committed[MOST_SAVES], bare[MOST_SAVES];
    double       reserved[MOST_SAVES];
    double       load_cached, load_disk;

    TH_TRY(make_model(&m, layers, err));
    th_snapshot snapshot = { .parameters = m.parameters,
                             .parameter_count = m.count,
                             .config = "model: {preset: ViT-B-32}\n" };
    TH_TRY(th_writer_open(&(th_writer_options){ .folder = folder, .keep = 2 }, &snapshot, &writer,
                          err));
    for (int i = -1; i < saves; i++) {
        int slot = i < 0 ? 0 : i;
        TH_TRY(th_writer_wait(writer, err));
        TH_TRY(bare_write(folder, &m, false, &bare[slot], err));
        TH_TRY(bare_write(folder, &m, true, &reserved[slot], err));
        snapshot.state.step++;
        TH_TRY(th_writer_save(writer, &snapshot, err));
        TH_TRY(th_writer_wait(writer, err));
        th_writer_report report = th_writer_status(writer);
        stall[slot] = report.stall_seconds;
        flushed[slot] = report.flushed_seconds;
        committed[slot] = report.durable_seconds;
    }
    TH_TRY(load(folder, &m, &load_cached, err));
    forget_cache(folder);
    TH_TRY(load(folder, &m, &load_disk, err));
    double base = median(bare, saves), flush = median(flushed, saves);
    double commit = median(committed, saves);
    printf("{\"benchmark\": \"checkpoint\", \"layers\": %d, \"parameters\": %" PRId64
           ", \"bytes\": %" PRId64 ", \"saves\": %d, \"stall_s\": %.3f, \"flushed_s\": %.3f, "
           "\"committed_s\": %.3f, \"bare_write_fsync_s\": %.3f, "
           "\"bare_reserved_s\": %.3f, \"flushed_ratio\": %.3f, "
           "\"committed_ratio\": %.3f, \"load_cached_s\": %.3f, \"load_disk_s\": %.3f}\n",
           layers, m.elements, m.elements * 12, saves, median(stall, saves), flush, commit, base,
           median(reserved, saves), flush / base, commit / base, load_cached, load_disk);
out:
    th_writer_close(writer);
    free(m.parameters[0].model.data);
    return rc;
}

int main(int count, char **words)
{
    char        made[] = "/tmp/thaw-bench-XXXXXX";
    const char *folder = count > 1 ? words[1] : mkdtemp(made);
    long        layers = count > 2 ? strtol(words[2], NULL, 10) : 12;
    long        saves = count > 3 ? strtol(words[3], NULL, 10) : 3;
    th_err      err = { 0 };

    if (!folder || layers < 1 || layers > 40 || saves < 1 || saves > MOST_SAVES) {
        (void)fprintf(stderr, "usage: %s [FOLDER [LAYERS 1-40 [SAVES 1-%d]]]\n", words[0],
                      MOST_SAVES);
        return 2;
    }
    th_code rc = run(folder, (int)layers, (int)saves, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: %s (%s)\n", words[0], err.what, err.trail);
    return th_exit_code(rc);
}
