#include "dataloader/pack_info.h"

#include "base/hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_NAME "thaw pack"
#define RECORDS_MAX ((int64_t)1 << 48)

static const char fix_info[] =
    "copy " TH_PACK_DATASET " again from where it is whole, or pack again";
static const char fix_again[] = "pack the data again with this version of thaw";

// --- printing ---

static json_t *print_hash(uint64_t hash)
{
    char text[TH_HASH_TEXT];

    th_hash_print(hash, text);
    return json_string(text);
}

// A reference that fails to be made is NULL, and json_pack passes that on.
static json_t *print_shard(const th_shard_info *shard)
{
    return json_pack("{s:s, s:I, s:I, s:o}", "file", shard->file, "records",
                     (json_int_t)shard->records, "bytes", (json_int_t)shard->bytes, "hash",
                     print_hash(shard->hash));
}

static json_t *print_image(const th_pack_info *info)
{
    return json_pack(
        "{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:[f, f, f], s:[f, f, f]}", "size",
        (json_int_t)info->size, "margin", (json_int_t)info->margin, "filter", info->filter, "alpha",
        info->alpha, "exif", info->exif, "codec", info->codec, "normalization", info->normalization,
        "mean", (double)info->mean[0], (double)info->mean[1], (double)info->mean[2], "deviation",
        (double)info->deviation[0], (double)info->deviation[1], (double)info->deviation[2]);
}

static json_t *print_tokenizer(const th_pack_info *info)
{
    const char *cleanup = *info->cleanup ? info->cleanup : NULL;

    return json_pack("{s:s, s:s*, s:I, s:o}", "file",
                     *info->tokenizer_file ? info->tokenizer_file : TH_TOKENIZER_MERGES, "cleanup",
                     cleanup, "vocabulary", (json_int_t)info->vocabulary, "hash",
                     print_hash(info->tokenizer_hash));
}

th_code th_pack_info_print(const th_pack_info *info, char **out_text, size_t *out_size, th_err *err)
{
    th_code rc = TH_OK;
    json_t *shards = json_array(), *root = NULL;
    char   *text = NULL;

    for (int i = 0; i < info->shard_count; i++)
        TH_CHECK(json_array_append_new(shards, print_shard(&info->shards[i])) == 0, TH_EIO,
                 "free some memory", "could not print " TH_PACK_DATASET " for shard \"%s\"",
                 info->shards[i].file);
    root = json_pack("{s:s, s:i, s:I, s:I, s:o, s:o, s:O}", "format", FORMAT_NAME, "version",
                     TH_PACK_FORMAT, "records", (json_int_t)info->records, "captions",
                     (json_int_t)info->captions, "image", print_image(info), "tokenizer",
                     print_tokenizer(info), "shards", shards);
    // 9 digits bring a float back to the same bits.
    text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    TH_CHECK(text, TH_EIO, "free some memory", "could not print " TH_PACK_DATASET);
    *out_text = text;
    *out_size = strlen(text);
out:
    json_decref(root);
    json_decref(shards);
    return rc;
}

// --- parsing: `where` is the part of the file that `object` is, for messages ---

static th_code get_integer(const json_t *object, const char *where, const char *name, int64_t min,
                           int64_t max, int64_t *out, th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *value = json_object_get(object, name);

    TH_CHECK(json_is_integer(value), TH_EDATA, fix_info, "%s has no number \"%s\"", where, name);
    int64_t number = json_integer_value(value);
    TH_CHECK(number >= min && number <= max, TH_EDATA, fix_info,
             "%s has \"%s\": %" PRId64 ", not %" PRId64 " to %" PRId64, where, name, number, min,
             max);
    *out = number;
out:
    return rc;
}

// A text of one of the words, which are split by spaces; any text when words is NULL.
static th_code get_text(const json_t *object, const char *where, const char *name,
                        const char *words, char *out, size_t room, th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *value = json_object_get(object, name);
    const char   *text = json_string_value(value);
    _Bool         known = !words;

    TH_CHECK(text, TH_EDATA, fix_info, "%s has no text \"%s\"", where, name);
    size_t length = strlen(text);
    TH_CHECK(length > 0 && length < room, TH_EDATA, fix_info, "%s has \"%s\" of %zu bytes", where,
             name, length);
    for (const char *word = words; word && !known; word = strchr(word, ' ')) {
        word += *word == ' ';
        known = strncmp(word, text, length) == 0 && (word[length] == ' ' || word[length] == '\0');
    }
    TH_CHECK(known, TH_EDATA, fix_info, "%s has \"%s\": \"%s\", not one of: %s", where, name, text,
             words);
    memcpy(out, text, length + 1);
out:
    return rc;
}

static th_code get_hash(const json_t *object, const char *where, const char *name, uint64_t *out,
                        th_err *err)
{
    th_code     rc = TH_OK;
    const char *text = json_string_value(json_object_get(object, name));

    TH_CHECK(text && th_hash_parse(text, out), TH_EDATA, fix_info,
             "%s has no \"%s\" of 16 hexadecimal digits", where, name);
out:
    return rc;
}

static th_code get_channels(const json_t *object, const char *where, const char *name, double min,
                            double max, float out[3], th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *array = json_object_get(object, name);

    TH_CHECK(json_array_size(array) == 3, TH_EDATA, fix_info, "%s has no \"%s\" of three numbers",
             where, name);
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_array_get(array, i);
        double        number = json_number_value(value);
        TH_CHECK(json_is_number(value) && number >= min && number <= max, TH_EDATA, fix_info,
                 "%s has a \"%s\" of %g, not %g to %g", where, name, number, min, max);
        out[i] = (float)number;
    }
out:
    return rc;
}

static th_code parse_head(const json_t *root, th_pack_info *info, th_err *err)
{
    th_code     rc = TH_OK;
    const char *format = json_string_value(json_object_get(root, "format"));
    int64_t     version = 0;

    TH_CHECK(format && strcmp(format, FORMAT_NAME) == 0, TH_EDATA,
             "check that the folder is a pack that thaw pack wrote",
             "it does not say \"format\": \"" FORMAT_NAME "\"");
    TH_TRY(get_integer(root, "it", "version", 0, INT64_MAX, &version, err));
    TH_CHECK(version >= TH_PACK_FORMAT, TH_EDATA, fix_again,
             "it has the old format version %" PRId64 ", this program reads %d", version,
             TH_PACK_FORMAT);
    TH_CHECK(version <= TH_PACK_FORMAT, TH_EDATA, "use the newer version of thaw that wrote it",
             "it has format version %" PRId64 ", this program reads %d", version, TH_PACK_FORMAT);
    TH_TRY(get_integer(root, "it", "records", 1, RECORDS_MAX, &info->records, err));
    TH_TRY(get_integer(root, "it", "captions", 0, RECORDS_MAX * TH_RECORD_CAPTIONS, &info->captions,
                       err));
out:
    return rc;
}

static th_code parse_image(const json_t *image, th_pack_info *info, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(get_integer(image, "\"image\"", "size", 1, TH_RECORD_SIDE, &info->size, err));
    TH_TRY(get_integer(image, "\"image\"", "margin", 0, TH_RECORD_SIDE - info->size, &info->margin,
                       err));
    TH_TRY(get_text(image, "\"image\"", "filter", "bicubic bilinear box", info->filter,
                    sizeof info->filter, err));
    // Packs of version 0.1 do not name these two: they were made so.
    (void)strcpy(info->alpha, "white");
    (void)strcpy(info->exif, "ignore");
    if (json_object_get(image, "alpha"))
        TH_TRY(get_text(image, "\"image\"", "alpha", "white drop", info->alpha, sizeof info->alpha,
                        err));
    if (json_object_get(image, "exif"))
        TH_TRY(get_text(image, "\"image\"", "exif", "ignore apply", info->exif, sizeof info->exif,
                        err));
    TH_TRY(get_text(image, "\"image\"", "codec", "raw zlib jpeg", info->codec, sizeof info->codec,
                    err));
    TH_TRY(get_text(image, "\"image\"", "normalization", "clip imagenet siglip",
                    info->normalization, sizeof info->normalization, err));
    TH_TRY(get_channels(image, "\"image\"", "mean", 0, 1, info->mean, err));
    TH_TRY(get_channels(image, "\"image\"", "deviation", 1e-3, 10, info->deviation, err));
out:
    return rc;
}

static th_code parse_tokenizer(const json_t *tokenizer, th_pack_info *info, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(get_text(tokenizer, "\"tokenizer\"", "file", TH_TOKENIZER_MERGES " " TH_TOKENIZER_JSON,
                    info->tokenizer_file, sizeof info->tokenizer_file, err));
    if (json_object_get(tokenizer, "cleanup")) // packs of version 0.1 do not say it
        TH_TRY(get_text(tokenizer, "\"tokenizer\"", "cleanup", "open_clip hf bert", info->cleanup,
                        sizeof info->cleanup, err));
    TH_TRY(get_integer(tokenizer, "\"tokenizer\"", "vocabulary", 3, INT32_MAX, &info->vocabulary,
                       err));
    TH_TRY(get_hash(tokenizer, "\"tokenizer\"", "hash", &info->tokenizer_hash, err));
out:
    return rc;
}

static th_code parse_shard(const json_t *row, size_t i, th_shard_info *shard, th_err *err)
{
    th_code rc = TH_OK;
    char    where[32];
    int64_t bytes = 0;

    (void)snprintf(where, sizeof where, "shard %zu", i);
    TH_TRY(get_text(row, where, "file", NULL, shard->file, sizeof shard->file, err));
    // A pack is its folder: no name leads out of it.
    TH_CHECK(!strchr(shard->file, '/') && !strstr(shard->file, "..") && shard->file[0] != '.',
             TH_EDATA, fix_info, "%s has the file name \"%s\", which may lead out of the folder",
             where, shard->file);
    TH_TRY(get_integer(row, where, "records", 0, RECORDS_MAX, &shard->records, err));
    TH_TRY(get_integer(row, where, "bytes", 1, INT64_MAX, &bytes, err));
    TH_TRY(get_hash(row, where, "hash", &shard->hash, err));
    shard->bytes = (uint64_t)bytes;
out:
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static th_code check_unique(const th_pack_info *info, th_err *err)
{
    th_code      rc = TH_OK;
    const char **names = calloc((size_t)info->shard_count, sizeof *names);

    TH_CHECK(names, TH_EIO, "free some memory", "could not check shards: out of memory");
    for (int i = 0; i < info->shard_count; i++)
        names[i] = info->shards[i].file;
    qsort(names, (size_t)info->shard_count, sizeof *names, by_name);
    for (int i = 1; i < info->shard_count; i++)
        TH_CHECK(strcmp(names[i - 1], names[i]) != 0, TH_EDATA, fix_info,
                 "it has the shard \"%s\" twice", names[i]);
out:
    free(names);
    return rc;
}

static th_code parse_shards(const json_t *shards, th_pack_info *info, th_err *err)
{
    th_code rc = TH_OK;
    size_t  count = json_array_size(shards);
    int64_t records = 0;

    TH_CHECK(count >= 1 && count <= TH_PACK_SHARDS, TH_EDATA, fix_info,
             "it has no \"shards\" of 1 to %d rows", TH_PACK_SHARDS);
    TH_CHECK(info->shards = calloc(count, sizeof *info->shards), TH_EIO, "free some memory",
             "could not allocate %zu shards", count);
    info->shard_count = (int)count;
    for (size_t i = 0; i < count; i++) {
        TH_TRY(parse_shard(json_array_get(shards, i), i, &info->shards[i], err));
        records += info->shards[i].records; // below 2^17 times 2^48
    }
    TH_CHECK(records == info->records, TH_EDATA, fix_info,
             "it has %" PRId64 " records, but its shards have %" PRId64, info->records, records);
    TH_TRY(check_unique(info, err));
out:
    return rc;
}

th_code th_pack_info_parse(const char *text, size_t size, th_pack_info *out, th_err *err)
{
    th_code      rc = TH_OK;
    th_pack_info info = { 0 };
    json_error_t place;
    json_t      *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &place);

    TH_CHECK(root, TH_EDATA, fix_info, "it is not JSON: line %d: %s", place.line, place.text);
    TH_TRY(parse_head(root, &info, err));
    TH_TRY(parse_image(json_object_get(root, "image"), &info, err));
    TH_TRY(parse_tokenizer(json_object_get(root, "tokenizer"), &info, err));
    TH_TRY(parse_shards(json_object_get(root, "shards"), &info, err));
    *out = info;
    info = (th_pack_info){ 0 };
out:
    json_decref(root);
    th_pack_info_done(&info);
    return rc;
}

void th_pack_info_done(th_pack_info *info)
{
    free(info->shards);
    *info = (th_pack_info){ 0 };
}
