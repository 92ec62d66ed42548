#include "checkpoint/interchange/foreign.h"

#include "base/file.h"
#include "base/memory.h"
#include "checkpoint/interchange/foreign_config.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD_WIDTH 64 // of every CLIP: what heads are taken for when no config tells

static const char fix_model[] = "thaw has CLIP's towers, and BERT's for text; take another model";
static const char fix_whole[] = "get the files again from where they are whole";

typedef struct {
    const char             *plain; // the name, without a wrapper's prefix
    const th_stored_tensor *stored;
    bool                    read;
} entry;

struct th_foreign {
    char             path[PATH_MAX], folder[PATH_MAX];
    th_safetensors  *file;
    entry           *entries; // by name
    int              count;
    th_foreign_model model;
};

void th_foreign_close(th_foreign *foreign)
{
    if (!foreign)
        return;
    th_safetensors_close(foreign->file);
    free(foreign->entries);
    free(foreign);
}

const th_foreign_model *th_foreign_describe(const th_foreign *foreign)
{
    return &foreign->model;
}

const char *th_foreign_file(const th_foreign *foreign)
{
    return foreign->path;
}

// --- which file ---

// The weights in a folder: by the names that programs give them, else the only one there is.
static th_code find_file(const char *folder, char *out, size_t size, th_err *err)
{
    static const char *const usual[] = { "open_clip_model.safetensors", "model.safetensors" };
    char                     found[NAME_MAX + 1] = "";
    int                      count = 0;
    DIR                     *listing = NULL;
    th_code                  rc = TH_OK;

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (th_path_join(out, size, folder, usual[i]) && th_path_exists(out))
            return TH_OK;
    listing = opendir(folder);
    TH_CHECK(listing, TH_EIO, "check the path", "could not look into \"%s\": %s", folder,
             strerror(errno));
    for (struct dirent *file; (file = readdir(listing));) {
        size_t length = strlen(file->d_name), ending = strlen(".safetensors");
        if (length > ending && strcmp(file->d_name + length - ending, ".safetensors") == 0) {
            count++;
            (void)snprintf(found, sizeof found, "%s", file->d_name);
        }
    }
    TH_CHECK(count == 1, TH_EUSAGE,
             count ? "name the file itself"
                   : "save the model as safetensors (save_pretrained does, or save_file)",
             "folder \"%s\" has %d .safetensors files", folder, count);
    TH_CHECK(th_path_join(out, size, folder, found), TH_EUSAGE, "use a shorter path",
             "the path of \"%s\" is too long", found);
out:
    if (listing)
        (void)closedir(listing);
    return rc;
}

// Sets the file's path and its folder, where the config stands.
static th_code find_paths(th_foreign *foreign, const char *path, th_err *err)
{
    struct stat status;
    const char *slash = strrchr(path, '/');
    th_code     rc = TH_OK;

    TH_CHECK(stat(path, &status) == 0, TH_EIO, "check the path", "could not look at \"%s\": %s",
             path, strerror(errno));
    TH_CHECK(strlen(path) < sizeof foreign->path, TH_EUSAGE, "use a shorter path",
             "the path \"%.100s\" is too long", path);
    if (S_ISDIR(status.st_mode)) {
        (void)snprintf(foreign->folder, sizeof foreign->folder, "%s", path);
        TH_TRY(find_file(path, foreign->path, sizeof foreign->path, err));
    } else {
        (void)snprintf(foreign->path, sizeof foreign->path, "%s", path);
        (void)snprintf(foreign->folder, sizeof foreign->folder, "%.*s",
                       slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
    }
out:
    return rc;
}

// --- names ---

static int by_plain(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->plain, ((const entry *)b)->plain);
}

static entry *find_entry(const th_foreign *foreign, const char *plain)
{
    entry wanted = { .plain = plain };

    return bsearch(&wanted, foreign->entries, (size_t)foreign->count, sizeof wanted, by_plain);
}

static th_format find_format(const th_safetensors_index *list)
{
    for (int i = 0; i < list->count; i++) {
        const char *name = th_names_plain(TH_HUGGING_FACE, list->tensors[i].name);
        if (strncmp(name, "vision_model.", 13) == 0 || strncmp(name, "text_model.", 11) == 0)
            return TH_HUGGING_FACE;
        name = th_names_plain(TH_BERT, list->tensors[i].name);
        if (strcmp(name, "embeddings.word_embeddings.weight") == 0)
            return TH_BERT;
    }
    return TH_OPEN_CLIP;
}

static th_code list_entries(th_foreign *foreign, th_err *err)
{
    const th_safetensors_index *list = th_safetensors_list(foreign->file);
    th_code                     rc = TH_OK;

    foreign->model.format = find_format(list);
    TH_TRY(th_alloc((size_t)list->count, sizeof *foreign->entries, "names of weights",
                    (void **)&foreign->entries, err));
    foreign->count = list->count;
    for (int i = 0; i < list->count; i++) {
        const char *plain = th_names_plain(foreign->model.format, list->tensors[i].name);
        const char *part = th_names_foreign_part(plain);
        TH_CHECK(!part, TH_EUSAGE, fix_model, "the model has %s, which thaw has not: tensor \"%s\"",
                 part, list->tensors[i].name);
        foreign->entries[i] = (entry){ plain, &list->tensors[i], false };
    }
    qsort(foreign->entries, (size_t)foreign->count, sizeof *foreign->entries, by_plain);
    for (int i = 1; i < foreign->count; i++)
        TH_CHECK(strcmp(foreign->entries[i].plain, foreign->entries[i - 1].plain) != 0, TH_EDATA,
                 fix_whole, "tensors \"%.90s\" and \"%.90s\" are the same parameter",
                 foreign->entries[i - 1].stored->name, foreign->entries[i].stored->name);
out:
    return rc;
}

// The tensors that a row is made of; false when the format or the file lacks one.
static bool find_parts(const th_foreign *foreign, const char *row, th_name_parts *names,
                       entry *out[TH_NAME_PARTS])
{
    if (!th_names_of(foreign->model.format, row, names))
        return false;
    for (int i = 0; i < names->count; i++) {
        out[i] = find_entry(foreign, names->names[i]);
        if (!out[i])
            return false;
    }
    return true;
}

bool th_foreign_shape(const th_foreign *foreign, const char *row, th_tensor *out)
{
    th_name_parts names;
    entry        *parts[TH_NAME_PARTS] = { NULL };
    th_tensor     shape = { 0 };

    if (!find_parts(foreign, row, &names, parts) ||
        parts[0]->stored->dimensions > TH_TENSOR_DIMENSIONS)
        return false;
    const th_stored_tensor *first = parts[0]->stored;
    shape.dimensions = first->dimensions;
    memcpy(shape.shape, first->shape, (size_t)first->dimensions * sizeof *shape.shape);
    for (int i = 1; i < names.count; i++) { // they lie below each other, so the rest is equal
        const th_stored_tensor *part = parts[i]->stored;
        if (part->dimensions != first->dimensions || first->dimensions == 0 ||
            memcmp(part->shape + 1, first->shape + 1,
                   (size_t)(first->dimensions - 1) * sizeof *part->shape) != 0)
            return false;
        shape.shape[0] += part->shape[0];
    }
    if (names.transposed) {
        if (shape.dimensions != 2)
            return false;
        shape.shape[0] = first->shape[1];
        shape.shape[1] = first->shape[0];
    }
    // Some programs write the scale as an array of one.
    if (shape.dimensions == 1 && shape.shape[0] == 1 && strncmp(row, "logit_", 6) == 0)
        shape.dimensions = 0;
    *out = shape;
    return true;
}

// --- sizes ---

// Blocks of a tower, counted until one lacks its first norm.
static int64_t count_blocks(const th_foreign *foreign, const char *tower)
{
    char      row[TH_TENSOR_NAME];
    th_tensor shape;
    int64_t   blocks = 0;

    do
        (void)snprintf(row, sizeof row, "%stransformer.resblocks.%" PRId64 ".ln_1.weight", tower,
                       blocks);
    while (th_foreign_shape(foreign, row, &shape) && ++blocks < TH_SAFETENSORS_TENSORS);
    return blocks;
}

static th_code check_mlp(const th_foreign *foreign, const char *tower, int64_t width, th_err *err)
{
    char      row[TH_TENSOR_NAME];
    th_tensor shape;
    th_code   rc = TH_OK;

    (void)snprintf(row, sizeof row, "%stransformer.resblocks.0.mlp.c_fc.weight", tower);
    if (th_foreign_shape(foreign, row, &shape))
        TH_CHECK(shape.shape[0] == 4 * width, TH_EUSAGE, fix_model,
                 "the MLPs (mlp_ratio) are %" PRId64
                 " wide, and thaw's 4 times the width, %" PRId64,
                 shape.shape[0], 4 * width);
out:
    return rc;
}

static int64_t integer_root(int64_t n)
{
    int64_t root = 0;

    while ((root + 1) * (root + 1) <= n && root < 100000)
        root++;
    return root;
}

static int64_t guess_heads(int64_t width)
{
    return width < HEAD_WIDTH ? 1 : width / HEAD_WIDTH;
}

static th_code infer_image(const th_foreign *foreign, th_foreign_image *out, th_err *err)
{
    th_tensor conv, positions, norm;
    th_code   rc = TH_OK;

    if (!th_foreign_shape(foreign, "visual.conv1.weight", &conv))
        goto out;
    TH_CHECK(conv.dimensions == 4 && conv.shape[1] == 3 && conv.shape[2] == conv.shape[3] &&
                 conv.shape[0] > 0 && conv.shape[2] > 0,
             TH_EUSAGE, fix_model,
             "the patch embedding is not of square patches of three channels");
    TH_CHECK(th_foreign_shape(foreign, "visual.class_embedding", &norm), TH_EUSAGE, fix_model,
             "the image tower has no class token");
    TH_CHECK(th_foreign_shape(foreign, "visual.ln_pre.weight", &norm), TH_EUSAGE, fix_model,
             "the image tower has no norm before its blocks (no_ln_pre)");
    TH_CHECK(th_foreign_shape(foreign, "visual.positional_embedding", &positions) &&
                 positions.dimensions == 2,
             TH_EUSAGE, fix_model, "the image tower has no learned positions (pos_embed_type)");
    int64_t side = integer_root(positions.shape[0] - 1);
    TH_CHECK(side > 0 && side * side == positions.shape[0] - 1, TH_EUSAGE, fix_model,
             "the image tower has %" PRId64 " positions: not a square and a class token",
             positions.shape[0]);
    *out = (th_foreign_image){ .present = true,
                               .size = side * conv.shape[2],
                               .patch = conv.shape[2],
                               .width = conv.shape[0],
                               .layers = count_blocks(foreign, "visual."),
                               .heads = guess_heads(conv.shape[0]) };
    TH_TRY(check_mlp(foreign, "visual.", out->width, err));
out:
    return rc;
}

static th_code infer_text(const th_foreign *foreign, th_foreign_text *out, th_err *err)
{
    th_tensor tokens, positions, types = { 0 }, norm;
    bool      bert = th_foreign_shape(foreign, "ln_embed.weight", &norm);
    th_code   rc = TH_OK;

    if (!th_foreign_shape(foreign, "token_embedding.weight", &tokens))
        goto out;
    TH_CHECK(tokens.dimensions == 2 &&
                 th_foreign_shape(foreign, "positional_embedding", &positions) &&
                 positions.dimensions == 2,
             TH_EUSAGE, fix_model, "the text tower has no learned positions");
    TH_CHECK(!bert || th_foreign_shape(foreign, "token_type_embedding.weight", &types), TH_EUSAGE,
             "take another model", "the text tower is like BERT's, but has no token types");
    *out = (th_foreign_text){ .present = true,
                              .bert = bert,
                              .types = types.shape[0],
                              .context = positions.shape[0],
                              .vocabulary = tokens.shape[0],
                              .width = tokens.shape[1],
                              .layers = count_blocks(foreign, ""),
                              .heads = guess_heads(tokens.shape[1]) };
    TH_TRY(check_mlp(foreign, "", out->width, err));
out:
    return rc;
}

static th_code infer(th_foreign *foreign, th_err *err)
{
    th_foreign_model *model = &foreign->model;
    th_tensor         projection;
    th_code           rc = TH_OK;

    TH_TRY(infer_image(foreign, &model->image, err));
    TH_TRY(infer_text(foreign, &model->text, err));
    TH_CHECK(model->image.present || model->text.present, TH_EUSAGE,
             "name weights of open_clip, or of Hugging Face's CLIPModel or BertModel",
             "\"%s\" has neither CLIP's image tower nor its text tower", foreign->path);
    if (th_foreign_shape(foreign, "visual.proj", &projection) ||
        th_foreign_shape(foreign, "text_projection", &projection))
        model->embed = projection.shape[1];
    model->quick_gelu =
        model->format == TH_HUGGING_FACE; // its default, and OpenAI's models have it
out:
    return rc;
}

// --- the config against the tensors ---

static th_code agree(const char *what, int64_t config, int64_t tensors, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(config == tensors, TH_EDATA, "put the config beside the weights that it belongs to",
             "the config says %s %" PRId64 ", and the tensors %" PRId64, what, config, tensors);
out:
    return rc;
}

static th_code compare_image(th_foreign_image *is, const th_foreign_image *says, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(agree("image width", says->width, is->width, err));
    TH_TRY(agree("image layers", says->layers, is->layers, err));
    TH_TRY(agree("patch size", says->patch, is->patch, err));
    TH_TRY(agree("patches a side", says->size / says->patch, is->size / is->patch, err));
    is->size = says->size;
    is->heads = says->heads;
out:
    return rc;
}

static th_code compare_text(th_foreign_text *is, const th_foreign_text *says, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(agree("text width", says->width, is->width, err));
    TH_TRY(agree("text layers", says->layers, is->layers, err));
    TH_TRY(agree("context length", says->context, is->context, err));
    TH_TRY(agree("vocabulary", says->vocabulary, is->vocabulary, err));
    if (is->bert)
        TH_TRY(agree("token types", says->types, is->types, err));
    is->heads = says->heads;
    is->mean = says->mean;
out:
    return rc;
}

static th_code follow_config(th_foreign *foreign, th_err *err)
{
    th_foreign_model *is = &foreign->model, says;
    th_code           rc = TH_OK;

    TH_TRY(th_foreign_config_read(foreign->folder, is->format, &says, &is->configured, err));
    TH_CHECK(is->configured || is->format != TH_BERT, TH_EUSAGE, "put its config.json beside it",
             "\"%s\" is a BertModel without a config: nothing tells its heads", foreign->path);
    if (!is->configured)
        goto out;
    if (is->image.present && says.image.present)
        TH_TRY(compare_image(&is->image, &says.image, err));
    if (is->text.present && says.text.present)
        TH_TRY(compare_text(&is->text, &says.text, err));
    if (is->embed)
        TH_TRY(agree("projection (embed_dim, projection_dim)", says.embed, is->embed, err));
    is->quick_gelu = says.quick_gelu;
    is->has_pixels = says.has_pixels;
    memcpy(is->mean, says.mean, sizeof is->mean);
    memcpy(is->deviation, says.deviation, sizeof is->deviation);
out:
    return rc;
}

th_code th_foreign_open(const char *path, th_foreign **out, th_err *err)
{
    th_foreign *foreign = NULL;
    th_code     rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *foreign, "foreign weights", (void **)&foreign, err));
    TH_TRY(find_paths(foreign, path, err));
    TH_TRY(th_safetensors_open(foreign->path, &foreign->file, err));
    TH_TRY(list_entries(foreign, err));
    TH_TRY(infer(foreign, err));
    TH_TRY(follow_config(foreign, err));
    *out = foreign;
    return TH_OK;
out:
    th_foreign_close(foreign);
    return th_during(err, "reading the weights in \"%s\"", path);
}

// --- reading ---

static void print_shape(const th_tensor *tensor, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");

    for (int d = 0; d < tensor->dimensions && used < size; d++)
        used += (size_t)snprintf(out + used, size - used, "%s%" PRId64, d ? ", " : "",
                                 tensor->shape[d]);
    if (used < size)
        (void)snprintf(out + used, size - used, "]");
}

static th_code check_shape(const th_foreign *foreign, const th_tensor *wanted, th_err *err)
{
    th_tensor is;
    char      is_text[100], wanted_text[100];
    th_code   rc = TH_OK;

    TH_CHECK(th_foreign_shape(foreign, wanted->name, &is), TH_EDATA,
             "use weights of the whole model", "\"%s\" has no parameter \"%s\"", foreign->path,
             wanted->name);
    print_shape(&is, is_text, sizeof is_text);
    print_shape(wanted, wanted_text, sizeof wanted_text);
    TH_CHECK(strcmp(is_text, wanted_text) == 0, TH_EDATA, "set the model's sizes to the weights'",
             "parameter \"%s\" has shape %s in the weights, %s in the model", wanted->name, is_text,
             wanted_text);
out:
    return rc;
}

// [m, n] of the file to [n, m].
static th_code read_transposed(const th_foreign *foreign, const th_stored_tensor *stored,
                               float *out, th_err *err)
{
    int64_t m = stored->shape[0], n = stored->shape[1];
    float  *side = NULL;
    th_code rc = TH_OK;

    TH_TRY(th_alloc((size_t)stored->elements, sizeof *side, "a tensor", (void **)&side, err));
    TH_TRY(th_safetensors_read(foreign->file, stored, side, err));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++)
            out[i * m + k] = side[k * n + i];
out:
    free(side);
    return rc;
}

th_code th_foreign_load(th_foreign *foreign, const th_tensor *wanted, th_err *err)
{
    th_name_parts names;
    entry        *parts[TH_NAME_PARTS] = { NULL };
    float        *to = wanted->data;
    th_code       rc = TH_OK;

    TH_TRY(check_shape(foreign, wanted, err));
    (void)find_parts(foreign, wanted->name, &names, parts); // check_shape has found them
    for (int i = 0; i < names.count; i++) {
        const th_stored_tensor *stored = parts[i]->stored;
        if (names.transposed)
            TH_TRY(read_transposed(foreign, stored, to, err));
        else
            TH_TRY(th_safetensors_read(foreign->file, stored, to, err));
        to += stored->elements;
        parts[i]->read = true;
    }
out:
    return rc == TH_OK ? TH_OK : th_during(err, "reading the weights in \"%s\"", foreign->path);
}

int th_foreign_unread(const th_foreign *foreign, const char **out_names, int limit)
{
    int count = 0;

    for (int i = 0; i < foreign->count; i++) {
        const entry *tensor = &foreign->entries[i];
        if (tensor->read || th_names_idle(foreign->model.format, tensor->plain))
            continue;
        if (count < limit)
            out_names[count] = tensor->stored->name;
        count++;
    }
    return count;
}
