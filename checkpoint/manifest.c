#include "checkpoint/manifest.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT      1
#define LIMIT_BYTES ((size_t)64 << 20)
#define TAIL_HEAD   " \"manifest_hash\": \"" // the last line, as it begins and ends
#define TAIL_END    "\"\n}\n"
#define TAIL_BYTES  (sizeof TAIL_HEAD - 1 + TH_HASH_TEXT - 1 + sizeof TAIL_END - 1)

static const char fix_data[] = "an older generation is used; remove this one";

void th_manifest_name(int64_t step, char out[TH_MANIFEST_NAME])
{
    (void)snprintf(out, TH_MANIFEST_NAME, "step-%08" PRId64 ".json", step);
}

void th_data_name(int64_t step, bool second, char out[TH_MANIFEST_NAME])
{
    (void)snprintf(out, TH_MANIFEST_NAME, "step-%08" PRId64 "%s.h5", step, second ? "-2" : "");
}

bool th_name_step(const char *name, const char *ending, int64_t *out_step)
{
    int64_t step = 0;
    int     digits = 0;

    if (strncmp(name, "step-", 5) != 0)
        return false;
    for (name += 5; *name >= '0' && *name <= '9' && digits < 18; name++, digits++)
        step = step * 10 + (*name - '0');
    if (digits < 8 || strcmp(name, ending) != 0)
        return false;
    *out_step = step;
    return true;
}

static int set_hash(json_t *object, const char *key, uint64_t hash)
{
    char text[TH_HASH_TEXT];

    th_hash_print(hash, text);
    return json_object_set_new(object, key, json_string(text));
}

static json_t *build(const th_manifest *manifest)
{
    const th_generation *g = &manifest->generation;
    json_t              *tensors = json_object(), *root;

    for (int i = 0; i < manifest->tensor_count; i++)
        if (set_hash(tensors, manifest->tensors[i].path, manifest->tensors[i].hash) != 0)
            goto failed;
    root = json_pack("{s:i, s:I, s:I, s:I, s:I, s:s, s:I}", "format", FORMAT, "step",
                     (json_int_t)g->step, "samples_seen", (json_int_t)g->samples_seen, "stage",
                     (json_int_t)g->stage, "time", (json_int_t)g->time, "file", g->name, "bytes",
                     (json_int_t)g->bytes);
    if (root && set_hash(root, "hash", manifest->hash) == 0 &&
        json_object_set(root, "tensors", tensors) == 0) {
        json_decref(tensors);
        return root;
    }
    json_decref(root);
failed:
    json_decref(tensors);
    return NULL;
}

th_code th_manifest_write(const char *folder, const th_manifest *manifest, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], name[TH_MANIFEST_NAME], hash[TH_HASH_TEXT];
    char   *body = NULL, *text = NULL;
    json_t *root = build(manifest);

    TH_CHECK(root && (body = json_dumps(root, JSON_INDENT(1))) != NULL, TH_EIO, "free some memory",
             "could not write a manifest: out of memory");
    th_manifest_name(manifest->generation.step, name);
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "the path of \"%s\" is too long", name);
    size_t length = strlen(body); // its last two bytes, "\n}", become ",\n"
    TH_TRY(th_alloc(length + TAIL_BYTES + 1, 1, "a manifest", (void **)&text, err));
    (void)snprintf(text, length + 1, "%.*s,\n", (int)length - 2, body);
    th_hash_print(th_hash(text, length), hash);
    (void)snprintf(text + length, TAIL_BYTES + 1, TAIL_HEAD "%s" TAIL_END, hash);
    TH_TRY(th_file_replace(path, text, length + TAIL_BYTES, err));
out:
    free(text);
    free(body);
    json_decref(root);
    return rc;
}

// True when the last line is there to the letter and its hash is that of what stands before it.
static bool hash_is_right(const char *text, size_t size)
{
    char     digits[TH_HASH_TEXT];
    uint64_t hash;

    if (size < TAIL_BYTES)
        return false;
    const char *tail = text + size - TAIL_BYTES;
    memcpy(digits, tail + sizeof TAIL_HEAD - 1, TH_HASH_TEXT - 1);
    digits[TH_HASH_TEXT - 1] = '\0';
    return memcmp(tail, TAIL_HEAD, sizeof TAIL_HEAD - 1) == 0 &&
           memcmp(tail + TAIL_BYTES - (sizeof TAIL_END - 1), TAIL_END, sizeof TAIL_END - 1) == 0 &&
           th_hash_parse(digits, &hash) && hash == th_hash(text, size - TAIL_BYTES);
}

static th_code read_tensors(json_t *tensors, const char *path, th_manifest *manifest, th_err *err)
{
    th_code     rc = TH_OK;
    const char *key;
    json_t     *value;
    size_t      count = json_object_size(tensors);

    TH_CHECK(count < INT_MAX, TH_EDATA, fix_data, "manifest \"%s\" has %zu tensors", path, count);
    TH_TRY(
        th_alloc(count, sizeof *manifest->tensors, "a manifest", (void **)&manifest->tensors, err));
    json_object_foreach(tensors, key, value)
    {
        th_tensor_hash *t = &manifest->tensors[manifest->tensor_count++];
        const char     *digits = json_string_value(value);
        TH_CHECK(strlen(key) < sizeof t->path && digits && th_hash_parse(digits, &t->hash),
                 TH_EDATA, fix_data, "manifest \"%s\" has a bad entry \"%.160s\"", path, key);
        memcpy(t->path, key, strlen(key) + 1);
    }
out:
    return rc;
}

static th_code parse(const char *text, size_t size, const char *path, int64_t step,
                     th_manifest *manifest, th_err *err)
{
    th_code      rc = TH_OK;
    json_error_t error;
    json_int_t   number, samples, stage, time, bytes;
    int          format;
    const char  *file, *hash;
    json_t      *tensors, *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    char         first[TH_MANIFEST_NAME], second[TH_MANIFEST_NAME];

    TH_CHECK(root, TH_EDATA, fix_data, "manifest \"%s\" is not JSON: %s", path, error.text);
    TH_CHECK(json_unpack_ex(root, &error, 0, "{s:i, s:I, s:I, s:I, s:I, s:s, s:I, s:s, s:o}",
                            "format", &format, "step", &number, "samples_seen", &samples, "stage",
                            &stage, "time", &time, "file", &file, "bytes", &bytes, "hash", &hash,
                            "tensors", &tensors) == 0,
             TH_EDATA, fix_data, "manifest \"%s\" is not complete: %s", path, error.text);
    TH_CHECK(format == FORMAT, TH_EDATA, "use the version of thaw that wrote it",
             "manifest \"%s\" is of format %d, not %d", path, format, FORMAT);
    th_data_name(step, false, first);
    th_data_name(step, true, second);
    TH_CHECK(number == step && bytes > 0 && json_is_object(tensors) &&
                 th_hash_parse(hash, &manifest->hash) &&
                 (strcmp(file, first) == 0 || strcmp(file, second) == 0),
             TH_EDATA, fix_data, "manifest \"%s\" is not that of step %" PRId64, path, step);
    manifest->generation = (th_generation){
        .step = step, .bytes = bytes, .time = time, .samples_seen = samples, .stage = stage
    };
    memcpy(manifest->generation.name, file, strlen(file) + 1);
    TH_TRY(read_tensors(tensors, path, manifest, err));
out:
    json_decref(root);
    return rc;
}

th_code th_manifest_read(const char *folder, int64_t step, th_manifest *out, th_err *err)
{
    th_code     rc = TH_OK;
    char        path[PATH_MAX], name[TH_MANIFEST_NAME];
    char       *text = NULL;
    size_t      size;
    th_manifest manifest = { 0 };

    th_manifest_name(step, name);
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "the path of \"%s\" is too long", name);
    TH_TRY(th_file_read(path, LIMIT_BYTES, &text, &size, err));
    TH_CHECK(hash_is_right(text, size), TH_EDATA, fix_data,
             "manifest \"%s\" is damaged: its hash differs", path);
    TH_TRY(parse(text, size, path, step, &manifest, err));
    *out = manifest;
    manifest = (th_manifest){ 0 };
out:
    th_manifest_done(&manifest);
    free(text);
    return rc;
}

void th_manifest_done(th_manifest *manifest)
{
    free(manifest->tensors);
    manifest->tensors = NULL;
}

bool th_manifest_find(const th_manifest *manifest, const char *path, uint64_t *out_hash)
{
    for (int i = 0; i < manifest->tensor_count; i++)
        if (strcmp(manifest->tensors[i].path, path) == 0) {
            *out_hash = manifest->tensors[i].hash;
            return true;
        }
    return false;
}
