#include "dataloader/pack.h"

#include "base/file.h"
#include "base/hash.h"
#include "dataloader/pack_info.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct th_pack {
    char         *folder;
    th_pack_info  info;
    uint64_t      hash;
    th_tokenizer *tokenizer;
    th_shard    **shards; // [info.shard_count]
    int64_t      *first;  // [info.shard_count + 1]: number of each shard's first record
};

static const char fix_pack[] = "copy the pack again from where it is whole, or pack the data again";
static const char fix_memory[] = "free some memory";

static th_code join(char out[PATH_MAX], const char *folder, const char *name, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(out, PATH_MAX, folder, name), TH_EIO, "use a shorter path",
             "path of pack \"%.100s...\" is too long", folder);
out:
    return rc;
}

th_code th_pack_commit(const char *folder, const th_pack_info *info, th_err *err)
{
    th_code      rc = TH_OK;
    th_pack_info check = { 0 };
    char         path[PATH_MAX], *text = NULL;
    size_t       size = 0;

    TH_TRY(join(path, folder, TH_PACK_DATASET, err));
    TH_TRY(th_pack_info_print(info, &text, &size, err));
    // Whoever opens the pack must find it good.
    rc = th_pack_info_parse(text, size, &check, err);
    if (rc == TH_EDATA) {
        rc = TH_EUSAGE;
        if (err)
            err->code = TH_EUSAGE;
    }
    TH_TRY(rc);
    TH_TRY(th_file_replace(path, text, size, err));
out:
    th_pack_info_done(&check);
    free(text);
    if (rc != TH_OK)
        (void)th_during(err, "committing pack \"%s\"", folder);
    return rc;
}

static th_code read_info(th_pack *pack, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], *text = NULL;
    size_t  size = 0;

    TH_TRY(join(path, pack->folder, TH_PACK_BEGUN, err));
    bool begun = th_path_exists(path);
    TH_TRY(join(path, pack->folder, TH_PACK_DATASET, err));
    TH_CHECK(!begun || th_path_exists(path), TH_EDATA, "run the same thaw pack again: it goes on",
             "pack \"%s\" is unfinished", pack->folder);
    TH_CHECK(th_path_exists(path), TH_EDATA,
             "give a folder that thaw pack wrote; it is complete when " TH_PACK_DATASET " is there",
             "\"%s\" is not a pack: it has no " TH_PACK_DATASET, pack->folder);
    TH_TRY(th_file_read(path, TH_PACK_INFO_BYTES, &text, &size, err));
    pack->hash = th_hash(text, size);
    rc = th_pack_info_parse(text, size, &pack->info, err);
    if (rc != TH_OK)
        (void)th_during(err, "reading \"%s\"", path);
out:
    free(text);
    return rc;
}

static th_code read_tokenizer(th_pack *pack, th_err *err)
{
    th_code    rc = TH_OK;
    th_cleanup cleanup = TH_CLEANUP_DEFAULT;
    char       path[PATH_MAX];

    TH_TRY(join(path, pack->folder, pack->info.tokenizer_file, err));
    TH_CHECK(th_path_exists(path), TH_EDATA, fix_pack, "pack \"%s\" has no %s", pack->folder,
             pack->info.tokenizer_file);
    (void)th_cleanup_find(pack->info.cleanup, &cleanup); // not there, or BERT's own: the default
    TH_TRY(th_tokenizer_find(path, cleanup, &pack->tokenizer, err));
    TH_CHECK(th_tokenizer_hash(pack->tokenizer) == pack->info.tokenizer_hash &&
                 th_tokenizer_vocabulary(pack->tokenizer) == pack->info.vocabulary,
             TH_EDATA, fix_pack, "\"%s\" is not the tokenizer that the pack was made with", path);
out:
    return rc;
}

static th_code open_shard(th_pack *pack, int i, th_err *err)
{
    th_code              rc = TH_OK;
    const th_shard_info *info = &pack->info.shards[i];
    char                 path[PATH_MAX];
    struct stat          status;

    TH_TRY(join(path, pack->folder, info->file, err));
    TH_CHECK(stat(path, &status) == 0, TH_EDATA, fix_pack, "shard \"%s\" is missing", path);
    TH_CHECK((uint64_t)status.st_size == info->bytes, TH_EDATA, fix_pack,
             "shard \"%s\" has %lld bytes, its pack says %llu", path, (long long)status.st_size,
             (unsigned long long)info->bytes);
    TH_TRY(th_shard_open(path, &pack->shards[i], err));
    TH_CHECK(th_shard_records(pack->shards[i]) == info->records, TH_EDATA, fix_pack,
             "shard \"%s\" has %lld records, its pack says %lld", path,
             (long long)th_shard_records(pack->shards[i]), (long long)info->records);
    pack->first[i + 1] = pack->first[i] + info->records;
out:
    return rc;
}

th_code th_pack_open(const char *folder, th_pack **out, th_err *err)
{
    th_code  rc = TH_OK;
    th_pack *pack = calloc(1, sizeof *pack);

    TH_CHECK(pack && (pack->folder = strdup(folder)), TH_EIO, fix_memory,
             "could not open pack \"%s\": out of memory", folder);
    TH_TRY(read_info(pack, err));
    TH_TRY(read_tokenizer(pack, err));
    pack->shards = calloc((size_t)pack->info.shard_count, sizeof(th_shard *));
    pack->first = calloc((size_t)pack->info.shard_count + 1, sizeof *pack->first);
    TH_CHECK(pack->shards && pack->first, TH_EIO, fix_memory,
             "could not open pack \"%s\": out of memory", folder);
    for (int i = 0; i < pack->info.shard_count; i++)
        TH_TRY(open_shard(pack, i, err));
    *out = pack;
    pack = NULL;
out:
    th_pack_close(pack);
    if (rc != TH_OK)
        (void)th_during(err, "opening pack \"%s\"", folder);
    return rc;
}

void th_pack_close(th_pack *pack)
{
    if (!pack)
        return;
    for (int i = 0; pack->shards && i < pack->info.shard_count; i++)
        th_shard_close(pack->shards[i]);
    free(pack->shards);
    free(pack->first);
    th_tokenizer_close(pack->tokenizer);
    th_pack_info_done(&pack->info);
    free(pack->folder);
    free(pack);
}

const th_pack_info *th_pack_describe(const th_pack *pack)
{
    return &pack->info;
}

const th_tokenizer *th_pack_tokenizer(const th_pack *pack)
{
    return pack->tokenizer;
}

uint64_t th_pack_hash(const th_pack *pack)
{
    return pack->hash;
}

const char *th_pack_folder(const th_pack *pack)
{
    return pack->folder;
}

// The shard of record i, which is one of the pack's. Shards without records are passed over.
static int find_shard(const th_pack *pack, int64_t i)
{
    int low = 0, high = pack->info.shard_count; // first[low] <= i < first[high]

    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (pack->first[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

th_code th_pack_read(th_pack *pack, int64_t i, th_record_scratch *copy, th_record_scratch *scratch,
                     th_record *out, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = 0;
    int     k = -1;

    TH_CHECK(i >= 0 && i < pack->info.records, TH_EDATA, "this is a mistake in thaw",
             "pack \"%s\" has no record %lld", pack->folder, (long long)i);
    k = find_shard(pack, i);
    TH_TRY(th_shard_copy(pack->shards[k], i - pack->first[k], copy, &size, err));
    TH_TRY(th_record_read(copy->bytes, size, scratch, out, err));
out:
    if (rc != TH_OK && k >= 0)
        (void)th_during(err, "reading record %lld, number %lld of shard \"%s\"", (long long)i,
                        (long long)(i - pack->first[k]), pack->info.shards[k].file);
    return rc;
}

// --- verifying ---

typedef struct {
    void (*bad)(void *context, int64_t record, const th_err *why);
    void             *context;
    int64_t           bad_count, captions;
    th_record_scratch copy, scratch;
} verifier;

static void report(verifier *v, int64_t record, const th_err *why)
{
    v->bad_count++;
    if (v->bad)
        v->bad(v->context, record, why);
}

static th_code check_file(const th_pack *pack, int k, th_err *err)
{
    th_code              rc = TH_OK;
    const th_shard_info *info = &pack->info.shards[k];
    char                 path[PATH_MAX];
    uint64_t             hash = 0, bytes = 0;

    TH_TRY(join(path, pack->folder, info->file, err));
    TH_TRY(th_hash_file(path, &hash, &bytes, err));
    TH_CHECK(hash == info->hash && bytes == info->bytes, TH_EDATA, fix_pack,
             "shard \"%s\" has changed: its hash is not the one that its pack says", path);
out:
    return rc;
}

static th_code check_record(th_pack *pack, int64_t i, verifier *v, th_err *err)
{
    th_code   rc = TH_OK;
    th_record record;

    TH_TRY(th_pack_read(pack, i, &v->copy, &v->scratch, &record, err));
    v->captions += record.caption_count;
    for (int c = 0; c < record.caption_count; c++)
        for (uint32_t t = 0; t < record.captions[c].token_count; t++)
            TH_CHECK(record.captions[c].tokens[t] >= 0 &&
                         record.captions[c].tokens[t] < pack->info.vocabulary,
                     TH_EDATA, fix_pack,
                     "record %lld has the token %d, which is none of the pack's", (long long)i,
                     record.captions[c].tokens[t]);
out:
    return rc;
}

th_code th_pack_verify(th_pack *pack, void (*bad)(void *context, int64_t record, const th_err *why),
                       void *context, th_err *err)
{
    th_code  rc = TH_OK;
    verifier v = { .bad = bad, .context = context };
    th_err   why = { 0 };

    for (int k = 0; k < pack->info.shard_count; k++) {
        th_code found = check_file(pack, k, &why);
        if (found == TH_EDATA)
            report(&v, -1, &why);
        for (int64_t i = pack->first[k]; found != TH_EIO && i < pack->first[k + 1]; i++) {
            why = (th_err){ 0 };
            found = check_record(pack, i, &v, &why);
            if (found == TH_EDATA)
                report(&v, i, &why);
        }
        if (found == TH_EIO) {
            if (err)
                *err = why;
            rc = found;
            goto out;
        }
        why = (th_err){ 0 };
    }
    TH_CHECK(v.bad_count == 0, TH_EDATA, fix_pack,
             "pack \"%s\" is damaged in %lld records or shards", pack->folder,
             (long long)v.bad_count);
    TH_CHECK(v.captions == pack->info.captions, TH_EDATA, fix_pack,
             "pack \"%s\" has %lld captions, its " TH_PACK_DATASET " says %lld", pack->folder,
             (long long)v.captions, (long long)pack->info.captions);
out:
    free(v.copy.bytes);
    free(v.scratch.bytes);
    if (rc != TH_OK)
        (void)th_during(err, "verifying pack \"%s\"", pack->folder);
    return rc;
}
