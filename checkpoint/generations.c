#include "checkpoint/generations.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/layout.h"
#include "checkpoint/verify.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char fix_data[] = "an older generation is used; remove this one";

static int newest_first(const void *a, const void *b)
{
    int64_t left = ((const th_generation *)a)->step, right = ((const th_generation *)b)->step;

    return left < right ? 1 : left > right ? -1 : 0;
}

// The size of the data file against its manifest, without reading it.
static th_code check_size(const char *folder, const th_generation *generation, th_err *err)
{
    th_code     rc = TH_OK;
    char        path[PATH_MAX];
    struct stat status;

    TH_CHECK(th_path_join(path, sizeof path, folder, generation->name), TH_EIO,
             "use a shorter path", "the path of \"%s\" is too long", generation->name);
    TH_CHECK(stat(path, &status) == 0, errno == ENOENT ? TH_EDATA : TH_EIO, fix_data,
             "could not find \"%s\": %s", generation->name, strerror(errno));
    TH_CHECK(S_ISREG(status.st_mode) && status.st_size == generation->bytes, TH_EDATA, fix_data,
             "\"%s\" has %jd bytes, its manifest says %" PRId64, generation->name,
             (intmax_t)status.st_size, generation->bytes);
out:
    return rc;
}

// Fills one row of the list; what is wrong with the generation goes into the row.
static void describe(const char *folder, int64_t step, th_generation *row)
{
    th_err      reason = { 0 };
    th_manifest manifest = { 0 };

    th_code code = th_manifest_read(folder, step, &manifest, &reason);
    *row = manifest.generation;
    row->step = step;
    if (code == TH_OK)
        code = check_size(folder, row, &reason);
    else
        th_data_name(step, false, row->name);
    if (code != TH_OK)
        (void)snprintf(row->error, sizeof row->error, "%s", reason.what);
    th_manifest_done(&manifest);
}

static th_code add_row(th_generation **rows, int *count, int *room, th_err *err)
{
    th_code rc = TH_OK;

    if (*count == *room) {
        int            larger = *room ? 2 * *room : 16;
        th_generation *grown = realloc(*rows, (size_t)larger * sizeof **rows);
        TH_CHECK(grown, TH_EIO, "free some memory", "could not list generations: out of memory");
        *rows = grown;
        *room = larger;
    }
    ++*count;
out:
    return rc;
}

th_code th_generations_list(const char *folder, th_generation **out, int *out_count, th_err *err)
{
    th_code        rc = TH_OK;
    th_generation *rows = NULL;
    int            count = 0, room = 0;
    int64_t        step;
    DIR           *directory = opendir(folder);

    TH_CHECK(directory || errno == ENOENT, TH_EIO, "check that the folder is readable",
             "could not open folder \"%s\": %s", folder, strerror(errno));
    while (directory) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        TH_CHECK(entry || errno == 0, TH_EIO, "check that the disk works",
                 "could not read folder \"%s\": %s", folder, strerror(errno));
        if (!entry)
            break;
        if (!th_name_step(entry->d_name, ".json", &step))
            continue;
        TH_TRY(add_row(&rows, &count, &room, err));
        describe(folder, step, &rows[count - 1]);
    }
    if (count > 0)
        qsort(rows, (size_t)count, sizeof *rows, newest_first);
    *out = rows;
    *out_count = count;
    rows = NULL;
out:
    free(rows);
    if (directory)
        (void)closedir(directory); // opened for reading: nothing left to lose
    return rc;
}

th_code th_verify_file(const char *folder, const th_manifest *manifest, th_err *err)
{
    th_code  rc = TH_OK;
    char     path[PATH_MAX], has[TH_HASH_TEXT], wants[TH_HASH_TEXT];
    uint64_t hash, bytes;

    TH_TRY(check_size(folder, &manifest->generation, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, manifest->generation.name), TH_EIO,
             "use a shorter path", "the path of \"%s\" is too long", manifest->generation.name);
    TH_TRY(th_hash_file(path, &hash, &bytes, err));
    th_hash_print(hash, has);
    th_hash_print(manifest->hash, wants);
    TH_CHECK(hash == manifest->hash && bytes == (uint64_t)manifest->generation.bytes, TH_EDATA,
             fix_data, "\"%s\" is damaged: its hash is %s, its manifest says %s",
             manifest->generation.name, has, wants);
out:
    return rc;
}

th_code th_verify_newest(const char *folder,
                         th_code (*attempt)(const char *folder, const th_generation *generation,
                                            void *context, th_err *err),
                         void *context, th_generation *out, bool *out_found, th_err *err)
{
    th_code        rc = TH_OK;
    th_generation *rows = NULL;
    int            count = 0;

    TH_TRY(th_generations_list(folder, &rows, &count, err));
    for (int i = 0; i < count; i++) {
        th_err reason = { 0 };
        (void)snprintf(reason.what, sizeof reason.what, "%.250s", rows[i].error);
        if (rows[i].error[0] == '\0' && attempt(folder, &rows[i], context, &reason) == TH_OK) {
            *out = rows[i];
            *out_found = true;
            goto out;
        }
        th_warn("checkpoint %s is not used: %s", rows[i].name, reason.what);
    }
    TH_CHECK(count == 0, TH_EDATA, "see the log; bring a copy back, or remove them to start anew",
             "none of the %d generations in \"%s\" is good", count, folder);
    *out_found = false;
out:
    free(rows);
    return rc;
}

static th_code attempt_file(const char *folder, const th_generation *generation, void *context,
                            th_err *err)
{
    th_code     rc = TH_OK;
    th_manifest manifest = { 0 };

    (void)context;
    TH_TRY(th_manifest_read(folder, generation->step, &manifest, err));
    TH_TRY(th_verify_file(folder, &manifest, err));
out:
    th_manifest_done(&manifest);
    return rc;
}

th_code th_generations_newest_good(const char *folder, th_generation *out, bool *out_found,
                                   th_err *err)
{
    return th_verify_newest(folder, attempt_file, NULL, out, out_found, err);
}

// One dataset, read by us and by HDF5's own pipeline, against the manifest.
static th_code verify_tensor(const char *path, const th_layout *layout, int index, th_part part,
                             const char *name, const th_manifest *manifest, th_err *err)
{
    th_code  rc = TH_OK;
    char     tensor[TH_TENSOR_PATH];
    uint64_t wants, direct, piped;

    th_tensor_path(part, name, tensor);
    TH_CHECK(th_manifest_find(manifest, tensor, &wants), TH_EDATA, fix_data,
             "\"%s\" is not in the manifest", tensor);
    TH_TRY(th_layout_read(layout, index, part, NULL, &direct, err));
    TH_TRY(th_layout_hash_by_hdf5(path, tensor, &piped, err));
    TH_CHECK(direct == wants && piped == wants, TH_EDATA, fix_data,
             "\"%s\" is damaged: its hash differs from the manifest", tensor);
out:
    return rc;
}

static th_code verify_layout(const char *path, const th_manifest *manifest, th_err *err)
{
    th_code    rc = TH_OK;
    th_layout *layout = NULL;
    int        count, tensors = 0;

    TH_TRY(th_layout_open(path, &layout, err));
    const th_saved_parameter *parameters = th_layout_parameters(layout, &count);
    for (int i = 0; i < count; i++) {
        const th_saved_parameter *p = &parameters[i];
        const bool there[TH_PARTS] = { true, p->exp_avg != NULL, p->exp_avg_sq != NULL };
        for (th_part part = 0; part < TH_PARTS; part++)
            if (there[part]) {
                TH_TRY(verify_tensor(path, layout, i, part, p->model.name, manifest, err));
                tensors++;
            }
    }
    TH_CHECK(tensors == manifest->tensor_count, TH_EDATA, fix_data,
             "\"%s\" has %d tensors, its manifest %d", path, tensors, manifest->tensor_count);
    TH_CHECK(th_layout_state(layout)->step == manifest->generation.step, TH_EDATA, fix_data,
             "\"%s\" is of step %" PRId64 ", its manifest of %" PRId64, path,
             th_layout_state(layout)->step, manifest->generation.step);
out:
    th_layout_close(layout);
    return rc;
}

th_code th_generation_verify(const char *folder, const th_generation *generation, th_err *err)
{
    th_code     rc = TH_OK;
    char        path[PATH_MAX];
    th_manifest manifest = { 0 };

    TH_TRY(th_manifest_read(folder, generation->step, &manifest, err));
    TH_TRY(th_verify_file(folder, &manifest, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, manifest.generation.name), TH_EIO,
             "use a shorter path", "the path of \"%s\" is too long", manifest.generation.name);
    TH_TRY(verify_layout(path, &manifest, err));
out:
    th_manifest_done(&manifest);
    return rc == TH_OK ? TH_OK : th_during(err, "verifying %s", generation->name);
}
