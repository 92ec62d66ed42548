#include "base/file.h"
#include "base/memory.h"
#include "checkpoint/chunks.h"
#include "checkpoint/layout.h"
#include "checkpoint/verify.h"
#include "checkpoint/weights_file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct th_reader {
    th_manifest manifest; // of a generation
    bool        alone;    // a weights file: it has no manifest, and its own hash was compared
    th_layout  *layout;
};

static const char fix_data[] = "use an older generation, or a copy of this one";

void th_reader_close(th_reader *reader)
{
    if (!reader)
        return;
    th_layout_close(reader->layout);
    th_manifest_done(&reader->manifest);
    free(reader);
}

static th_code open_reader(const char *folder, int64_t step, const char *name, th_reader **out,
                           th_err *err)
{
    th_code    rc = TH_OK;
    th_reader *reader = NULL;
    char       path[PATH_MAX];

    TH_TRY(th_alloc(1, sizeof *reader, "a checkpoint", (void **)&reader, err));
    TH_TRY(th_manifest_read(folder, step, &reader->manifest, err));
    TH_CHECK(strcmp(reader->manifest.generation.name, name) == 0, TH_EDATA,
             "open the file that the manifest names",
             "\"%s\" was never committed: its manifest "
             "names \"%s\"",
             name, reader->manifest.generation.name);
    TH_TRY(th_verify_file(folder, &reader->manifest, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "the path of \"%s\" is too long", name);
    TH_TRY(th_layout_open(path, &reader->layout, err));
    *out = reader;
    reader = NULL;
out:
    th_reader_close(reader);
    return rc == TH_OK ? TH_OK : th_during(err, "opening %s", name);
}

static th_code open_weights(const char *path, th_reader **out, th_err *err)
{
    th_reader *reader = NULL;
    th_code    rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *reader, "weights", (void **)&reader, err));
    TH_TRY(th_weights_file_check(path, err));
    TH_TRY(th_layout_open(path, &reader->layout, err));
    reader->alone = true;
    *out = reader;
    reader = NULL;
out:
    th_reader_close(reader);
    return rc == TH_OK ? TH_OK : th_during(err, "opening \"%s\"", path);
}

th_code th_reader_open(const char *path, th_reader **out, th_err *err)
{
    th_code     rc = TH_OK;
    char        folder[PATH_MAX] = ".", manifest[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t      length = slash ? (slash == path ? 1 : (size_t)(slash - path)) : 1;
    char        short_name[TH_MANIFEST_NAME];
    int64_t     step;

    TH_CHECK(length < sizeof folder, TH_EIO, "use a shorter path", "the path \"%s\" is too long",
             path);
    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", (int)length, path);
    if (!th_name_step(name, ".h5", &step) && !th_name_step(name, "-2.h5", &step))
        return open_weights(path, out, err);
    th_manifest_name(step, short_name);
    TH_CHECK(th_path_join(manifest, sizeof manifest, folder, short_name) &&
                 th_path_exists(manifest),
             TH_EDATA, fix_data, "\"%s\" has no manifest \"%s\": it was never committed", path,
             short_name);
    TH_TRY(open_reader(folder, step, name, out, err));
out:
    return rc;
}

static th_code attempt_open(const char *folder, const th_generation *generation, void *context,
                            th_err *err)
{
    return open_reader(folder, generation->step, generation->name, context, err);
}

th_code th_reader_open_newest(const char *folder, th_reader **out_reader,
                              th_generation *out_generation, th_err *err)
{
    th_code       rc = TH_OK;
    th_reader    *reader = NULL;
    th_generation generation;
    bool          found;

    TH_TRY(th_verify_newest(folder, attempt_open, &reader, &generation, &found, err));
    *out_reader = reader;
    if (found && out_generation)
        *out_generation = generation;
out:
    return rc;
}

const th_saved_state *th_reader_state(const th_reader *reader)
{
    return th_layout_state(reader->layout);
}

const char *th_reader_config(const th_reader *reader)
{
    return th_layout_config(reader->layout);
}

const th_saved_parameter *th_reader_parameters(const th_reader *reader, int *out_count)
{
    return th_layout_parameters(reader->layout, out_count);
}

static void print_shape(const th_tensor *tensor, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");

    for (int d = 0; d < tensor->dimensions && used < size; d++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", d ? ", " : "",
                                 (long long)tensor->shape[d]);
    if (used < size)
        (void)snprintf(out + used, size - used, "]");
}

static th_code check_shape(const th_tensor *has, const th_tensor *wanted, th_err *err)
{
    th_code rc = TH_OK;
    char    has_text[100], wanted_text[100];
    bool    same = has->dimensions == wanted->dimensions;

    for (int d = 0; same && d < has->dimensions; d++)
        same = has->shape[d] == wanted->shape[d];
    print_shape(has, has_text, sizeof has_text);
    print_shape(wanted, wanted_text, sizeof wanted_text);
    TH_CHECK(same, TH_EDATA, "use the model that the checkpoint was written with",
             "parameter \"%s\" has shape %s in the checkpoint, %s in the model", wanted->name,
             has_text, wanted_text);
out:
    return rc;
}

// Reads one part and compares its hash with the manifest: what the training had in memory.
static th_code load_part(const th_reader *reader, int index, const char *name, th_part part,
                         float *data, th_err *err)
{
    th_code  rc = TH_OK;
    char     path[TH_TENSOR_PATH];
    uint64_t wants = 0, hash;

    th_tensor_path(part, name, path);
    TH_CHECK(reader->alone || th_manifest_find(&reader->manifest, path, &wants), TH_EDATA, fix_data,
             "\"%s\" is not in the manifest", path);
    TH_TRY(th_layout_read(reader->layout, index, part, data, &hash, err));
    TH_CHECK(reader->alone || hash == wants, TH_EDATA, fix_data,
             "\"%s\" is damaged: its hash differs", path);
out:
    return rc;
}

th_code th_reader_load(th_reader *reader, const th_saved_parameter *wanted, int64_t *out_step,
                       bool *out_has_moments, th_err *err)
{
    th_code                   rc = TH_OK;
    const char               *name = wanted->model.name;
    int                       count, i = 0;
    const th_saved_parameter *parameters = th_layout_parameters(reader->layout, &count);

    while (i < count && strcmp(parameters[i].model.name, name) != 0)
        i++;
    TH_CHECK(i < count, TH_EDATA, "use the model that the checkpoint was written with",
             "the checkpoint has no parameter \"%s\"", name);
    TH_TRY(check_shape(&parameters[i].model, &wanted->model, err));
    TH_TRY(load_part(reader, i, name, TH_MODEL, wanted->model.data, err));
    bool moments = parameters[i].exp_avg && parameters[i].exp_avg_sq;
    if (moments && wanted->exp_avg)
        TH_TRY(load_part(reader, i, name, TH_EXP_AVG, wanted->exp_avg, err));
    if (moments && wanted->exp_avg_sq)
        TH_TRY(load_part(reader, i, name, TH_EXP_AVG_SQ, wanted->exp_avg_sq, err));
    *out_step = parameters[i].step;
    *out_has_moments = moments;
out:
    return rc;
}

static th_tensor_summary summarize(const float *data, int64_t elements)
{
    th_tensor_summary s = { .smallest = INFINITY, .largest = -INFINITY };
    double            squares = 0;
    int64_t           finite = 0;

    for (int64_t i = 0; i < elements; i++)
        if (isfinite(data[i])) {
            s.mean += (double)data[i];
            s.smallest = fmin(s.smallest, (double)data[i]);
            s.largest = fmax(s.largest, (double)data[i]);
            finite++;
        }
    s.not_finite = elements - finite;
    s.mean = finite ? s.mean / (double)finite : 0;
    // A second pass: the difference of two large sums would lose a small deviation.
    for (int64_t i = 0; i < elements; i++)
        if (isfinite(data[i]))
            squares += ((double)data[i] - s.mean) * ((double)data[i] - s.mean);
    s.deviation = finite ? sqrt(squares / (double)finite) : 0;
    if (!finite)
        s.smallest = s.largest = 0;
    return s;
}

th_code th_reader_summary(th_reader *reader, int index, th_tensor_summary *out, th_err *err)
{
    th_code                   rc = TH_OK;
    int                       count;
    int64_t                   elements = 0;
    float                    *data = NULL;
    const th_saved_parameter *parameters = th_layout_parameters(reader->layout, &count);

    TH_CHECK(index >= 0 && index < count, TH_EUSAGE, "ask for one of its parameters",
             "the checkpoint has %d parameters, there is no number %d", count, index);
    const th_tensor *tensor = &parameters[index].model;
    (void)th_shape_elements(tensor->dimensions, tensor->shape, &elements); // checked at open
    TH_TRY(th_alloc((size_t)elements, sizeof *data, "a tensor", (void **)&data, err));
    TH_TRY(load_part(reader, index, tensor->name, TH_MODEL, data, err));
    *out = summarize(data, elements);
out:
    free(data);
    return rc;
}
