#include "dataloader/feature_cache_about.h"

#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_NAME    "thaw feature cache"
#define FORMAT_VERSION 1
#define ABOUT_BYTES    ((size_t)1 << 16) // largest file that is read

static const char fix_about[] = "remove the cache: thaw cache rm KEY";

th_code th_feature_about_print(uint64_t key, const th_feature_about *about, char **out_text,
                               size_t *out_size, th_err *err)
{
    th_code     rc = TH_OK;
    const char *fix = "give the cache a tower, a cut and rows of a size in range";
    char        name[TH_HASH_TEXT], pack[TH_HASH_TEXT], weights[TH_HASH_TEXT];
    json_t     *root = NULL;
    char       *text = NULL;

    TH_CHECK(about->row_bytes >= 1 && about->row_bytes <= TH_FEATURE_ROW_BYTES, TH_EUSAGE, fix,
             "cannot cache rows of %" PRIu64 " bytes: 1 to %zu can be", about->row_bytes,
             TH_FEATURE_ROW_BYTES);
    TH_CHECK(about->tower[0] && about->cut[0], TH_EUSAGE, fix,
             "cannot cache rows of tower \"%.15s\", cut \"%.63s\"", about->tower, about->cut);
    th_hash_print(key, name);
    th_hash_print(about->pack_hash, pack);
    th_hash_print(about->weights_hash, weights);
    root = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "format",
                     FORMAT_NAME, "version", FORMAT_VERSION, "key", name, "tower", about->tower,
                     "cut", about->cut, "row_bytes", (json_int_t)about->row_bytes, "pack", pack,
                     "weights", weights, "input", about->input, "kernels", about->kernels,
                     "description", about->description);
    text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    TH_CHECK(text, TH_EUSAGE, "give texts in UTF-8",
             "could not print " TH_FEATURE_ABOUT ": a text is not UTF-8, or memory is out");
    *out_text = text;
    *out_size = strlen(text);
out:
    json_decref(root);
    return rc;
}

static th_code get_text(const json_t *root, const char *name, char *out, size_t room, th_err *err)
{
    th_code     rc = TH_OK;
    const char *text = json_string_value(json_object_get(root, name));

    TH_CHECK(text && strlen(text) < room, TH_EDATA, fix_about,
             "it has no text \"%s\" of at most %zu bytes", name, room - 1);
    memcpy(out, text, strlen(text) + 1);
out:
    return rc;
}

static th_code get_hash(const json_t *root, const char *name, uint64_t *out, th_err *err)
{
    th_code     rc = TH_OK;
    const char *text = json_string_value(json_object_get(root, name));

    TH_CHECK(text && th_hash_parse(text, out), TH_EDATA, fix_about,
             "it has no \"%s\" of 16 hexadecimal digits", name);
out:
    return rc;
}

static th_code parse(const json_t *root, uint64_t key, th_feature_about *out, th_err *err)
{
    th_code          rc = TH_OK;
    th_feature_about about = { 0 };
    char             format[32];
    uint64_t         named = 0;

    TH_TRY(get_text(root, "format", format, sizeof format, err));
    TH_CHECK(strcmp(format, FORMAT_NAME) == 0, TH_EDATA, fix_about,
             "it does not say \"format\": \"" FORMAT_NAME "\"");
    json_int_t version = json_integer_value(json_object_get(root, "version"));
    TH_CHECK(version == FORMAT_VERSION, TH_EDATA, fix_about,
             "it has format version %lld, this program reads %d", (long long)version,
             FORMAT_VERSION);
    TH_TRY(get_hash(root, "key", &named, err));
    TH_CHECK(named == key, TH_EDATA, fix_about, "it has the key %016" PRIx64, named);
    TH_TRY(get_text(root, "tower", about.tower, sizeof about.tower, err));
    TH_TRY(get_text(root, "cut", about.cut, sizeof about.cut, err));
    json_int_t row_bytes = json_integer_value(json_object_get(root, "row_bytes"));
    TH_CHECK(row_bytes >= 1 && row_bytes <= (json_int_t)TH_FEATURE_ROW_BYTES, TH_EDATA, fix_about,
             "it has \"row_bytes\": %lld", (long long)row_bytes);
    about.row_bytes = (uint64_t)row_bytes;
    TH_TRY(get_hash(root, "pack", &about.pack_hash, err));
    TH_TRY(get_hash(root, "weights", &about.weights_hash, err));
    if (json_object_get(root, "input")) // caches made before it was written down have none
        TH_TRY(get_text(root, "input", about.input, sizeof about.input, err));
    if (json_object_get(root, "kernels"))
        TH_TRY(get_text(root, "kernels", about.kernels, sizeof about.kernels, err));
    TH_TRY(get_text(root, "description", about.description, sizeof about.description, err));
    *out = about;
out:
    return rc;
}

th_code th_feature_about_read(const char *path, uint64_t key, th_feature_about *out, th_err *err)
{
    th_code      rc = TH_OK;
    char         file[PATH_MAX], *text = NULL;
    size_t       size = 0;
    json_t      *root = NULL;
    json_error_t place;

    TH_CHECK(th_path_join(file, sizeof file, path, TH_FEATURE_ABOUT), TH_EIO, "use a shorter path",
             "path of \"%.100s...\" is too long", path);
    TH_CHECK(th_path_exists(file), TH_EDATA, fix_about, "it is not there");
    TH_TRY(th_file_read(file, ABOUT_BYTES, &text, &size, err));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &place);
    TH_CHECK(root, TH_EDATA, fix_about, "it is not JSON: line %d: %s", place.line, place.text);
    TH_TRY(parse(root, key, out, err));
out:
    json_decref(root);
    free(text);
    return rc == TH_OK ? TH_OK : th_during(err, "reading \"%s/" TH_FEATURE_ABOUT "\"", path);
}

th_code th_feature_about_compare(const char *path, const th_feature_about *have,
                                 const th_feature_about *want, th_err *err)
{
    th_code     rc = TH_OK;
    const char *fix = "use another folder, or remove the cache: thaw cache rm KEY";

    TH_CHECK(strcmp(have->tower, want->tower) == 0, TH_EDATA, fix,
             "feature cache \"%s\" is of tower \"%s\", not \"%s\"", path, have->tower, want->tower);
    TH_CHECK(strcmp(have->cut, want->cut) == 0, TH_EDATA, fix,
             "feature cache \"%s\" has the cut \"%s\", not \"%s\"", path, have->cut, want->cut);
    TH_CHECK(have->row_bytes == want->row_bytes, TH_EDATA, fix,
             "feature cache \"%s\" has rows of %" PRIu64 " bytes, not %" PRIu64, path,
             have->row_bytes, want->row_bytes);
    TH_CHECK(have->pack_hash == want->pack_hash, TH_EDATA, fix,
             "feature cache \"%s\" is of pack %016" PRIx64 ", not %016" PRIx64, path,
             have->pack_hash, want->pack_hash);
    TH_CHECK(have->weights_hash == want->weights_hash, TH_EDATA, fix,
             "feature cache \"%s\" is of weights %016" PRIx64 ", not %016" PRIx64, path,
             have->weights_hash, want->weights_hash);
out:
    return rc;
}
