// Where a tokenizer is: in a file, in two, in a folder, in a pack.
#include "base/file.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char fix_where[] = "give a merges file, a tokenizer.json, a vocab.json beside its "
                                "merges.txt, BERT's vocab.txt, or a "
                                "folder or pack that holds one";

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static th_code join(char out[PATH_MAX], const char *folder, const char *name, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(out, PATH_MAX, folder, name), TH_EUSAGE, "use a shorter path",
             "path of tokenizer \"%.100s...\" is too long", folder);
out:
    return rc;
}

// The path of a file beside another.
static th_code beside(char out[PATH_MAX], const char *path, const char *name, th_err *err)
{
    const char *slash = strrchr(path, '/');
    char        folder[PATH_MAX] = ".";

    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path),
                       path);
    return join(out, folder, name, err);
}

static bool is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash ? slash + 1 : path, name) == 0;
}

static th_code read_json(const char *path, json_t **out, th_err *err)
{
    th_code      rc = TH_OK;
    char        *text = NULL;
    size_t       size;
    json_error_t place;

    TH_TRY(th_file_read(path, TH_TOKENIZER_BYTES, &text, &size, err));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &place);
    TH_CHECK(json_is_object(*out), TH_EDATA, "copy the file again from where it is whole",
             "\"%s\" is not a JSON object: line %d: %s", path, place.line, place.text);
out:
    free(text);
    return rc;
}

// --- each kind ---

static th_code open_text(const char *path, th_cleanup cleanup, th_tokenizer **out, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL;
    size_t  size;

    TH_TRY(th_file_read(path, TH_TOKENIZER_BYTES, &text, &size, err));
    TH_TRY(th_tokenizer_open_as(text, size, cleanup, out, err));
out:
    free(text);
    return rc;
}

static th_code open_pair(const char *vocabulary, const char *merges, th_cleanup cleanup,
                         th_tokenizer **out, th_err *err)
{
    th_code       rc = TH_OK;
    th_tokenizer *t = calloc(1, sizeof *t);
    json_t       *json = NULL;
    const json_t *begin, *end;
    char         *text = NULL;
    size_t        size;

    TH_CHECK(t, TH_EIO, "free some memory", "no memory for a tokenizer");
    TH_TRY(read_json(vocabulary, &json, err));
    TH_TRY(th_file_read(merges, TH_TOKENIZER_BYTES, &text, &size, err));
    begin = json_object_get(json, TH_CLIP_START);
    end = json_object_get(json, TH_CLIP_END);
    TH_CHECK(json_is_integer(begin) && json_is_integer(end) && json_integer_value(begin) >= 0 &&
                 json_integer_value(end) >= 0 && json_integer_value(begin) < TH_SYMBOLS_MOST &&
                 json_integer_value(end) < TH_SYMBOLS_MOST,
             TH_EDATA, "use the vocab.json of a CLIP",
             "\"%s\" has no ids for " TH_CLIP_START " and " TH_CLIP_END, vocabulary);
    t->begin = (int32_t)json_integer_value(begin);
    t->end = (int32_t)json_integer_value(end);
    (void)th_specials_add(&t->specials, TH_CLIP_START, t->begin, true);
    (void)th_specials_add(&t->specials, TH_CLIP_END, t->end, true);
    TH_TRY(th_tokenizer_read_vocabulary(t, text, size, json, TH_CLIP_END, err));
    t->cleaner.kind = TH_CLEANUP_HF;
    TH_TRY(th_tokenizer_finish(t, cleanup, err));
    *out = t;
    t = NULL;
out:
    th_tokenizer_close(t);
    json_decref(json);
    free(text);
    return rc;
}

// What tokenizer_config.json says of a vocab.txt beside it; without one the list itself tells.
static th_code open_list(const char *path, th_cleanup cleanup, th_tokenizer **out, th_err *err)
{
    th_code       rc = TH_OK;
    th_tokenizer *t = calloc(1, sizeof *t);
    json_t       *config = NULL;
    const json_t *lower, *accents, *chinese;
    char          config_path[PATH_MAX], *text = NULL;
    size_t        size;

    TH_CHECK(t, TH_EIO, "free some memory", "no memory for a tokenizer");
    TH_TRY(th_file_read(path, TH_TOKENIZER_BYTES, &text, &size, err));
    TH_TRY(beside(config_path, path, "tokenizer_config.json", err));
    if (th_path_exists(config_path))
        TH_TRY(read_json(config_path, &config, err));
    lower = json_object_get(config, "do_lower_case");
    accents = json_object_get(config, "strip_accents");
    chinese = json_object_get(config, "tokenize_chinese_chars");
    TH_TRY(th_tokenizer_read_list(t, text, size, json_is_boolean(lower) ? json_is_false(lower) : -1,
                                  err));
    if (json_is_boolean(accents))
        t->cleaner.strip_accents = json_is_true(accents);
    if (json_is_boolean(chinese))
        t->cleaner.handle_chinese_chars = json_is_true(chinese);
    TH_TRY(th_tokenizer_finish(t, cleanup, err));
    *out = t;
    t = NULL;
out:
    th_tokenizer_close(t);
    json_decref(config);
    free(text);
    return rc;
}

// dataset.json of a pack says which file its tokenizer is, and how it cleans.
static th_code open_pack(const char *folder, const char *dataset, th_cleanup cleanup,
                         th_tokenizer **out, th_err *err)
{
    th_code       rc = TH_OK;
    json_t       *json = NULL;
    const json_t *about;
    const char   *file, *name;
    char          path[PATH_MAX];

    TH_TRY(read_json(dataset, &json, err));
    about = json_object_get(json, "tokenizer");
    file = json_string_value(json_object_get(about, "file"));
    name = json_string_value(json_object_get(about, "cleanup"));
    TH_CHECK(file &&
                 (strcmp(file, TH_TOKENIZER_MERGES) == 0 || strcmp(file, TH_TOKENIZER_JSON) == 0),
             TH_EDATA, "give a folder that thaw pack wrote", "\"%s\" names no tokenizer", dataset);
    if (cleanup == TH_CLEANUP_DEFAULT && name)
        (void)th_cleanup_find(name, &cleanup);
    TH_TRY(join(path, folder, file, err));
    TH_TRY(open_text(path, cleanup, out, err));
out:
    json_decref(json);
    return rc;
}

static th_code open_file(const char *path, th_cleanup cleanup, th_tokenizer **out, th_err *err)
{
    th_code rc = TH_OK;
    char    other[PATH_MAX];
    bool    is_json = is_named(path, "vocab.json"), is_merges = is_named(path, "merges.txt");

    if (is_json || is_merges) {
        TH_TRY(beside(other, path, is_json ? "merges.txt" : "vocab.json", err));
        if (th_path_exists(other)) {
            TH_TRY(open_pair(is_json ? path : other, is_json ? other : path, cleanup, out, err));
            return rc;
        }
        TH_CHECK(is_merges, TH_EUSAGE, "put the model's merges.txt beside it",
                 "\"%s\" has no merges.txt beside it", path);
    }
    if (is_named(path, "vocab.txt"))
        TH_TRY(open_list(path, cleanup, out, err));
    else
        TH_TRY(open_text(path, cleanup, out, err));
out:
    return rc;
}

static th_code open_folder(const char *folder, th_cleanup cleanup, th_tokenizer **out, th_err *err)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json", "vocab.txt",
                                         TH_TOKENIZER_MERGES, "bpe_simple_vocab_16e6.txt.gz" };
    th_code                  rc = TH_OK;
    char                     path[PATH_MAX];

    TH_TRY(join(path, folder, "dataset.json", err));
    if (th_path_exists(path))
        return open_pack(folder, path, cleanup, out, err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        TH_TRY(join(path, folder, names[i], err));
        if (th_path_exists(path))
            return open_file(path, cleanup, out, err);
    }
    TH_FAIL(TH_EUSAGE, fix_where, "no tokenizer is in folder \"%s\"", folder);
out:
    return rc;
}

th_code th_tokenizer_find(const char *path, th_cleanup cleanup, th_tokenizer **out, th_err *err)
{
    th_code rc =
        is_folder(path) ? open_folder(path, cleanup, out, err) : open_file(path, cleanup, out, err);

    return rc == TH_OK ? rc : th_during(err, "opening tokenizer \"%s\"", path);
}
