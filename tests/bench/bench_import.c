/* tests/bench/bench_import.c - how long `thaw import` takes for a model of CLIP's usual size.
 *
 *     bench_import [FOLDER [THAW [TIMES]]]       ViT-B/32, 151 M numbers, 605 MB, as open_clip
 * saves it
 *
 * The whole command, from its start to its exit: weights read (from the page cache), written as a
 * weights file, flushed to disk, hashed. In turn with a bare write and fsync of as many bytes into
 * reserved space in the same folder. Medians over TIMES (default 5) after one unmeasured round.
 * Processor time is the command's own and the kernel's for it: on a disk that others keep busy it
 * tells what the rest does not. */
#include "base/file.h"
#include "checkpoint/interchange/foreign_write.h"
#include "tests/bench/report.h"
#include "tests/bench/work.h"
#include "trainer/parameters.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_TIMES 32

extern char **environ;

// The model as open_clip saves it.
static th_code write_model(const char *folder, const th_parameters *p, th_err *err)
{
    const th_image_config *image = &p->model.image;
    const th_text_config  *text = &p->model.text;
    th_foreign_model       about = {
              .format = TH_OPEN_CLIP,
              .image = { true, image->size, image->patch, image->width, image->layers, image->heads },
              .text = { .present = true,
                        .context = text->context,
                        .vocabulary = text->vocabulary,
                        .width = text->width,
                        .layers = text->layers,
                        .heads = text->heads },
              .embed = p->model.embed,
              .mean = { 0.48145466, 0.4578275, 0.40821073 },
              .deviation = { 0.26862954, 0.26130258, 0.27577711 },
    };
    th_foreign_tokenizer none = { 0 };
    th_tensor           *rows = NULL;
    char                 path[PATH_MAX];
    th_code              rc = TH_OK;

    TH_TRY(th_alloc((size_t)p->row_count, sizeof *rows, "rows", (void **)&rows, err));
    for (int i = 0; i < p->row_count; i++) {
        rows[i] = (th_tensor){ .name = p->rows[i].name,
                               .dimensions = p->rows[i].dimensions,
                               .data = th_weight(p, i) };
        memcpy(rows[i].shape, p->rows[i].shape, sizeof rows[i].shape);
    }
    TH_CHECK(th_path_join(path, sizeof path, folder, "open_clip_model.safetensors"), TH_EIO, "",
             "path too long");
    TH_TRY(th_foreign_write(path, TH_OPEN_CLIP, rows, p->row_count, NULL, err));
    TH_TRY(th_foreign_config_write(folder, &about, &none, false, err));
out:
    free(rows);
    return rc;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

static th_code import(const char *thaw, const char *folder, const char *out, double *out_seconds,
                      double *out_processor, th_err *err)
{
    char *const   words[] = { (char *)thaw, "import",    "--from", (char *)folder,
                              "--out",      (char *)out, NULL };
    int           status;
    pid_t         child;
    struct rusage used;
    th_code       rc = TH_OK;

    posix_spawn_file_actions_t quiet;
    TH_CHECK(posix_spawn_file_actions_init(&quiet) == 0 &&
                 posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) == 0,
             TH_EIO, "", "could not prepare a process");
    double start = th_bench_now();
    TH_CHECK(posix_spawn(&child, thaw, &quiet, NULL, words, environ) == 0 &&
                 wait4(child, &status, 0, &used) == child && status == 0,
             TH_EIO, "name the program thaw", "\"%s\" import failed", thaw);
    *out_seconds = th_bench_now() - start;
    *out_processor = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
out:
    return rc;
}

static th_code bare_write(const char *path, const th_parameters *p, double *out_seconds,
                          th_err *err)
{
    size_t      size = (size_t)p->elements * sizeof(float), piece = (size_t)4 << 20;
    const char *bytes = (const char *)p->weight;
    double      start = th_bench_now();
    int         fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    th_code     rc = TH_OK;

    TH_CHECK(fd >= 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0, TH_EIO, "",
             "could not make \"%s\": %s", path, strerror(errno));
    for (size_t at = 0; at < size; at += piece)
        TH_TRY(th_write_all(fd, bytes + at, size - at < piece ? size - at : piece, path, err));
    TH_CHECK(fsync(fd) == 0, TH_EIO, "", "could not flush \"%s\": %s", path, strerror(errno));
    *out_seconds = th_bench_now() - start;
out:
    if (fd >= 0)
        (void)close(fd);
    (void)unlink(path);
    return rc;
}

static th_code run(const char *folder, const char *thaw, int times, th_err *err)
{
    th_model_config config;
    th_parameters   p = { 0 };
    char            model[PATH_MAX], out[PATH_MAX], bare[PATH_MAX];
    double          seconds[MOST_TIMES], processor[MOST_TIMES], bare_seconds[MOST_TIMES];
    th_code         rc = TH_OK;

    TH_CHECK(th_path_join(model, sizeof model, folder, "clip") &&
                 th_path_join(out, sizeof out, folder, "weights.h5") &&
                 th_path_join(bare, sizeof bare, folder, "bare"),
             TH_EIO, "", "path too long");
    TH_TRY(th_folder_make(model, err));
    TH_CHECK(th_work_model("ViT-B-32", &config), TH_EUSAGE, "", "no such model");
    TH_TRY(th_parameters_open(&config, &p, err));
    for (int64_t i = 0; i < p.elements; i++) // bits without a pattern, so nothing is sparse
        p.weight[i] = (float)(uint32_t)(i * 2654435761) * 1e-9f;
    TH_TRY(write_model(model, &p, err));
    for (int i = -1; i < times; i++) {
        int slot = i < 0 ? 0 : i;
        TH_TRY(bare_write(bare, &p, &bare_seconds[slot], err));
        (void)unlink(out);
        TH_TRY(import(thaw, model, out, &seconds[slot], &processor[slot], err));
    }
    th_report_begin("import");
    th_report_text("model", "ViT-B-32");
    th_report_number("numbers", (double)p.elements);
    th_report_number("times", times);
    th_report_number("seconds", th_bench_median(seconds, times));
    th_report_number("processor_s", th_bench_median(processor, times));
    th_report_number("bare_write_fsync_s", th_bench_median(bare_seconds, times));
    th_report_end();
out:
    th_parameters_close(&p);
    return rc;
}

int main(int count, char **words)
{
    char        made[] = "/tmp/thaw-bench-XXXXXX";
    const char *folder = count > 1 ? words[1] : mkdtemp(made);
    long        times = count > 3 ? strtol(words[3], NULL, 10) : 5;
    th_err      err = { 0 };

    if (!folder || times < 1 || times > MOST_TIMES) {
        (void)fprintf(stderr, "usage: %s [FOLDER [THAW [TIMES 1-%d]]]\n", words[0], MOST_TIMES);
        return 2;
    }
    th_code rc = run(folder, count > 2 ? words[2] : "build/thaw", (int)times, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: %s (%s)\n", words[0], err.what, err.trail);
    return th_exit_code(rc);
}
