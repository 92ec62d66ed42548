#include "trainer/weights.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/interchange/positions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN 6

struct th_weights {
    char        path[1024];
    th_reader  *reader;  // of thaw's own
    th_foreign *foreign; // of others
};

void th_weights_close(th_weights *weights)
{
    if (!weights)
        return;
    th_reader_close(weights->reader);
    th_foreign_close(weights->foreign);
    free(weights);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);

    return length > tail && strcmp(text + length - tail, ending) == 0;
}

th_code th_weights_open(const char *path, th_weights **out, th_err *err)
{
    th_weights *weights = NULL;
    char        folder[1100];
    th_code     rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *weights, "weights", (void **)&weights, err));
    TH_CHECK((size_t)snprintf(weights->path, sizeof weights->path, "%s", path) <
                 sizeof weights->path,
             TH_EUSAGE, "use a shorter path", "the path \"%.100s\" is too long", path);
    if (th_path_join(folder, sizeof folder, path, "ckpt") && th_path_exists(folder)) {
        TH_TRY(th_reader_open_newest(folder, &weights->reader, NULL, err));
        TH_CHECK(weights->reader, TH_EDATA, "train it first: thaw train",
                 "run \"%s\" has no checkpoint", path);
    } else if (ends_with(path, ".h5")) {
        TH_TRY(th_reader_open(path, &weights->reader, err));
    } else {
        TH_TRY(th_foreign_open(path, &weights->foreign, err));
    }
    *out = weights;
    weights = NULL;
out:
    th_weights_close(weights);
    return rc;
}

const th_foreign_model *th_weights_foreign(const th_weights *weights)
{
    return weights->foreign ? th_foreign_describe(weights->foreign) : NULL;
}

const char *th_weights_config(const th_weights *weights)
{
    return weights->reader ? th_reader_config(weights->reader) : NULL;
}

int64_t th_weights_step(const th_weights *weights)
{
    return weights->reader ? th_reader_state(weights->reader)->step : 0;
}

bool th_weights_shape(const th_weights *weights, const char *row, th_tensor *out)
{
    int count;

    if (weights->foreign)
        return th_foreign_shape(weights->foreign, row, out);
    const th_saved_parameter *rows = th_reader_parameters(weights->reader, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].model.name, row) == 0) {
            *out = rows[i].model;
            return true;
        }
    return false;
}

// --- one row ---

static th_code read_row(th_weights *weights, const th_tensor *wanted, th_err *err)
{
    th_saved_parameter saved = { .model = *wanted };
    int64_t            step;
    bool               moments;

    return weights->foreign ? th_foreign_load(weights->foreign, wanted, err)
                            : th_reader_load(weights->reader, &saved, &step, &moments, err);
}

static th_code read_whole(th_weights *weights, const char *name, const th_tensor *is, float **out,
                          th_err *err)
{
    th_tensor whole = *is;
    float    *data = NULL;
    size_t    count = 1;
    th_code   rc = TH_OK;

    for (int d = 0; d < is->dimensions; d++)
        count *= (size_t)is->shape[d];
    TH_TRY(th_alloc(count, sizeof *data, "positions", (void **)&data, err));
    whole.name = name;
    whole.data = data;
    TH_TRY(read_row(weights, &whole, err));
    *out = data;
    data = NULL;
out:
    free(data);
    return rc;
}

// A grid of another picture size.
static th_code fit_image_positions(th_weights *weights, const th_tensor *is,
                                   const th_tensor *wanted, th_err *err)
{
    int64_t from = (int64_t)llround(sqrt((double)is->shape[0] - 1));
    int64_t to = (int64_t)llround(sqrt((double)wanted->shape[0] - 1));
    float  *data = NULL;
    th_code rc = TH_OK;

    TH_CHECK(from > 0 && from * from == is->shape[0] - 1, TH_EDATA, "use weights of a CLIP model",
             "\"%s\" has %lld positions in the weights: not a square and a class token",
             wanted->name, (long long)is->shape[0]);
    TH_TRY(read_whole(weights, wanted->name, is, &data, err));
    TH_TRY(th_positions_resize(data, from, wanted->data, to, wanted->shape[1], err));
    th_info("positions of %lld x %lld patches are interpolated to %lld x %lld", (long long)from,
            (long long)from, (long long)to, (long long)to);
out:
    free(data);
    return rc;
}

// The first positions of a longer context.
static th_code fit_text_positions(th_weights *weights, const th_tensor *is, const th_tensor *wanted,
                                  th_err *err)
{
    float  *data = NULL;
    th_code rc = TH_OK;

    TH_CHECK(is->shape[0] > wanted->shape[0], TH_EUSAGE, "set model.text.context to the weights'",
             "model.text.context is %lld, and the weights have positions for %lld tokens",
             (long long)wanted->shape[0], (long long)is->shape[0]);
    TH_TRY(read_whole(weights, wanted->name, is, &data, err));
    memcpy(wanted->data, data,
           (size_t)(wanted->shape[0] * wanted->shape[1]) * sizeof *wanted->data);
    th_info("of positions for %lld tokens the first %lld are taken", (long long)is->shape[0],
            (long long)wanted->shape[0]);
out:
    free(data);
    return rc;
}

static th_code load_row(th_weights *weights, const th_tensor *is, const th_tensor *wanted,
                        th_err *err)
{
    bool fits = is->dimensions == 2 && wanted->dimensions == 2 && is->shape[1] == wanted->shape[1];
    bool longer = fits && is->shape[0] != wanted->shape[0];
    th_code rc = TH_OK;

    TH_CHECK(!longer || strcmp(wanted->name, "token_embedding.weight") != 0, TH_EUSAGE,
             "pack with the tokenizer of the weights",
             "the weights are for a vocabulary of %lld tokens, and the pack has one of %lld",
             (long long)is->shape[0], (long long)wanted->shape[0]);
    if (longer && strcmp(wanted->name, "visual.positional_embedding") == 0)
        return fit_image_positions(weights, is, wanted, err);
    if (longer && strcmp(wanted->name, "positional_embedding") == 0)
        return fit_text_positions(weights, is, wanted, err);
    TH_TRY(read_row(weights, wanted, err));
out:
    return rc;
}

// --- all rows ---

// A few names of many, for the log.
typedef struct {
    char text[400];
    int  count;
} name_list;

static void add_name(name_list *list, const char *name)
{
    size_t used = strlen(list->text);

    if (list->count++ < NAMES_SHOWN)
        (void)snprintf(list->text + used, sizeof list->text - used, "%s%.90s", used ? ", " : "",
                       name);
    else if (list->count == NAMES_SHOWN + 1)
        (void)snprintf(list->text + used, sizeof list->text - used, ", ..");
}

static bool is_wanted(const th_parameter *row, th_weights_part part)
{
    return part == TH_WHOLE_MODEL || part == TH_BOTH_TOWERS ||
           (part == TH_IMAGE_ONLY && row->tower == TH_IMAGE) ||
           (part == TH_TEXT_ONLY && row->tower == TH_TEXT_TOWER);
}

// One tower's projection into features of another width: the model's own is trained instead.
static bool is_other_projection(const th_parameter *row, const th_tensor *is, th_weights_part part)
{
    bool projection =
        strcmp(row->name, "visual.proj") == 0 || strcmp(row->name, "text_projection") == 0;

    return (part == TH_IMAGE_ONLY || part == TH_TEXT_ONLY) && projection && is->dimensions == 2 &&
           is->shape[1] != row->shape[1];
}

static void tell_guesses(const th_weights *weights, const th_foreign_model *model)
{
    if (!model->configured)
        th_warn("\"%s\" has no config: heads are taken to be 64 wide, and the activation to be %s, "
                "where no option says otherwise",
                weights->path, model->quick_gelu ? "quick_gelu" : "gelu");
}

static void tell_unread(const th_weights *weights)
{
    const char *names[NAMES_SHOWN + 1];
    name_list   list = { 0 };
    int         count = th_foreign_unread(weights->foreign, names, NAMES_SHOWN + 1);

    for (int i = 0; i < count && i < NAMES_SHOWN + 1; i++)
        add_name(&list, names[i]);
    if (count > 0)
        th_warn("%d tensors of \"%s\" are not read: %s", count, weights->path, list.text);
}

th_code th_weights_load(th_weights *weights, th_parameters *parameters, th_weights_part part,
                        th_err *err)
{
    name_list missing = { 0 };
    int       read = 0;
    th_code   rc = TH_OK;

    for (int i = 0; i < parameters->row_count; i++) {
        const th_parameter *row = &parameters->rows[i];
        th_tensor           is, wanted = { .name = row->name,
                                           .dimensions = row->dimensions,
                                           .data = th_weight(parameters, i) };
        memcpy(wanted.shape, row->shape, sizeof wanted.shape);
        if (!is_wanted(row, part))
            continue;
        if (!th_weights_shape(weights, row->name, &is) || is_other_projection(row, &is, part)) {
            TH_CHECK(part != TH_WHOLE_MODEL || strcmp(row->name, "logit_bias") == 0, TH_EDATA,
                     "use weights of a whole model", "there is no parameter \"%s\"", row->name);
            add_name(&missing, row->name);
            continue;
        }
        TH_TRY(load_row(weights, &is, &wanted, err));
        read++;
    }
    TH_CHECK(read > 0, TH_EUSAGE, "name weights that have this tower",
             "\"%s\" has no parameter of the %s tower", weights->path,
             part == TH_IMAGE_ONLY ? "image" : "text");
    th_info("%d parameters are read from \"%s\"", read, weights->path);
    if (missing.count > 0)
        th_warn("%d parameters are not in \"%s\": %s", missing.count, weights->path, missing.text);
    const th_foreign_model *model = th_weights_foreign(weights);
    bool                    all = part == TH_WHOLE_MODEL || part == TH_BOTH_TOWERS;
    if (model)
        tell_guesses(weights, model);
    if (model && (all || model->image.present != model->text.present))
        tell_unread(weights);
out:
    return rc == TH_OK ? TH_OK : th_during(err, "reading weights from \"%s\"", weights->path);
}
