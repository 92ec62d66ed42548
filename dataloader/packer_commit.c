#include "dataloader/packer_commit.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const char fix_disk[] = "make room on the disk of the new pack";

typedef struct {
    const char *name;
    float       mean[3], deviation[3];
} normalization;

// Of pixels in 0 .. 1: OpenAI's CLIP and open_clip; torchvision; SigLIP.
static const normalization normalizations[] = {
    { "clip", { 0.48145466f, 0.4578275f, 0.40821073f }, { 0.26862954f, 0.26130258f, 0.27577711f } },
    { "imagenet", { 0.485f, 0.456f, 0.406f }, { 0.229f, 0.224f, 0.225f } },
    { "siglip", { 0.5f, 0.5f, 0.5f }, { 0.5f, 0.5f, 0.5f } },
};

static th_code set_normalization(th_pack_info *info, const char *name, th_err *err)
{
    th_code rc = TH_OK;

    for (size_t i = 0; i < sizeof normalizations / sizeof *normalizations; i++)
        if (strcmp(normalizations[i].name, name) == 0) {
            memcpy(info->mean, normalizations[i].mean, sizeof info->mean);
            memcpy(info->deviation, normalizations[i].deviation, sizeof info->deviation);
            (void)snprintf(info->normalization, sizeof info->normalization, "%s", name);
            return TH_OK;
        }
    TH_FAIL(TH_EUSAGE, "use clip, imagenet or siglip", "normalization \"%s\" is not known", name);
out:
    return rc;
}

th_code th_pack_write_tokenizer(const th_new_folder *folder, const th_tokenizer *tokenizer,
                                th_err *err)
{
    th_code     rc = TH_OK;
    char        path[PATH_MAX], *text = NULL;
    size_t      size = 0;
    const char *file;

    TH_TRY(th_tokenizer_print(tokenizer, &text, &size, &file, err));
    TH_CHECK(th_path_join(path, sizeof path, folder->path, file), TH_EUSAGE, "use a shorter path",
             "path of pack \"%.100s...\" is too long", folder->path);
    TH_TRY(th_file_replace(path, text, size, err));
out:
    free(text);
    return rc;
}

static th_code write_dataset(const th_new_folder *folder, const th_pack_options *options,
                             const th_tokenizer *tokenizer, const th_pack_info *shards, th_err *err)
{
    th_code      rc = TH_OK;
    char        *text = NULL;
    size_t       size;
    const char  *file;
    th_pack_info info = *shards;

    info.size = options->size;
    info.margin = options->margin;
    info.vocabulary = th_tokenizer_vocabulary(tokenizer);
    info.tokenizer_hash = th_tokenizer_hash(tokenizer);
    (void)snprintf(info.codec, sizeof info.codec, "%s", options->codec);
    (void)snprintf(info.filter, sizeof info.filter, "%s", options->filter);
    (void)snprintf(info.alpha, sizeof info.alpha, "%s", options->alpha);
    (void)snprintf(info.exif, sizeof info.exif, "%s", options->exif);
    TH_TRY(set_normalization(&info, options->normalization, err));
    TH_TRY(th_tokenizer_print(tokenizer, &text, &size, &file, err)); // for the file's name
    (void)snprintf(info.tokenizer_file, sizeof info.tokenizer_file, "%s", file);
    (void)snprintf(info.cleanup, sizeof info.cleanup, "%s",
                   th_cleanup_name(th_tokenizer_cleanup(tokenizer)));
    TH_TRY(th_pack_write_tokenizer(folder, tokenizer, err));
    TH_TRY(th_pack_commit(folder->path, &info, err));
out:
    free(text);
    return rc;
}

typedef struct {
    th_pack_info packs[TH_PARTS]; // their shards and counts
    th_tally    *tally;
    int64_t      bytes, shards;
    FILE        *quarantine;
    char         path[PATH_MAX], tmp[PATH_MAX]; // of quarantine.jsonl
} gathering;

static th_code open_quarantine(gathering *g, const th_new_folder *folder, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(g->path, sizeof g->path, folder->path, TH_PACK_QUARANTINE) &&
                 th_path_join(g->tmp, sizeof g->tmp, folder->path, TH_PACK_QUARANTINE ".tmp"),
             TH_EUSAGE, "use a shorter path", "path of pack \"%.100s...\" is too long",
             folder->path);
    g->quarantine = fopen(g->tmp, "we");
    TH_CHECK(g->quarantine, TH_EIO, fix_disk, "could not create \"%s\": %s", g->tmp,
             strerror(errno));
out:
    return rc;
}

static th_code add_unit(gathering *g, const th_unit *unit, th_err *err)
{
    th_code rc = TH_OK;

    th_tally_merge(g->tally, &unit->tally);
    TH_CHECK(unit->refused_bytes == 0 ||
                 fwrite(unit->refused, unit->refused_bytes, 1, g->quarantine) == 1,
             TH_EIO, fix_disk, "could not write \"%s\": %s", g->tmp, strerror(errno));
    for (int part = 0; part < TH_PARTS; part++) {
        const th_shard_info *shard = &unit->shards[part];
        th_pack_info        *pack = &g->packs[part];
        if (shard->records == 0)
            continue;
        pack->shards[pack->shard_count++] = *shard;
        pack->records += shard->records;
        pack->captions += unit->tally.captions[part];
        g->bytes += (int64_t)shard->bytes;
        g->shards++;
    }
out:
    return rc;
}

static th_code gather(gathering *g, const th_new_folder *folders, int units, th_err *err)
{
    th_code rc = TH_OK;
    void   *memory;

    for (int part = 0; part < TH_PARTS; part++) {
        TH_TRY(th_alloc((size_t)units, sizeof(th_shard_info), "shards", &memory, err));
        g->packs[part].shards = memory;
    }
    TH_TRY(open_quarantine(g, folders, err));
    for (int i = 0; i < units; i++) {
        th_unit unit;
        bool    there;
        TH_TRY(th_unit_read(folders, i, &unit, &there, err));
        TH_CHECK(there, TH_EIO, "run the same command again",
                 "shard %d of pack \"%s\" was finished, and now it is gone", i, folders->path);
        rc = add_unit(g, &unit, err);
        th_unit_close(&unit);
        TH_TRY(rc);
    }
    int closed = fclose(g->quarantine);
    g->quarantine = NULL;
    TH_CHECK(closed == 0, TH_EIO, fix_disk, "could not close \"%s\": %s", g->tmp, strerror(errno));
    TH_TRY(th_file_publish(AT_FDCWD, g->tmp, g->path, err));
out:
    return rc;
}

static th_code check(const th_tally *tally, const th_pack_options *options, th_err *err)
{
    th_code        rc = TH_OK;
    th_pack_report report = { 0 };

    th_tally_report(tally, 0, &report);
    TH_CHECK(tally->packed[TH_PART_TRAIN] > 0, TH_EDATA,
             "see quarantine.jsonl in the folder of the pack",
             "nothing could be packed from %s: %lld samples, %lld quarantined, mostly for: %s",
             options->from, (long long)tally->read, (long long)tally->refused,
             report.reason_count > 0 ? report.reasons[0].reason : "no reason");
    TH_CHECK(options->val == 0 || tally->packed[TH_PART_VAL] > 0, TH_EUSAGE, "use a larger val",
             "of %lld samples none fell to the validation pack",
             (long long)tally->packed[TH_PART_TRAIN]);
out:
    return rc;
}

th_code th_packs_commit(const th_new_folder *folders, int units, const th_pack_options *options,
                        const th_tokenizer *tokenizer, th_tally *tally, int64_t *out_bytes,
                        int64_t *out_shards, th_err *err)
{
    th_code   rc = TH_OK;
    gathering g = { .tally = tally };

    TH_TRY(gather(&g, folders, units, err));
    TH_TRY(check(tally, options, err));
    // The train pack last: it says that all is there.
    for (int part = TH_PARTS - 1; part >= 0; part--)
        if (g.packs[part].shard_count > 0)
            TH_TRY(write_dataset(&folders[part], options, tokenizer, &g.packs[part], err));
    *out_bytes = g.bytes;
    *out_shards = g.shards;
out:
    if (g.quarantine)
        (void)fclose(g.quarantine); // thrown away
    for (int part = 0; part < TH_PARTS; part++)
        free(g.packs[part].shards);
    return rc == TH_OK ? TH_OK : th_during(err, "committing pack \"%.100s\"", folders->path);
}
