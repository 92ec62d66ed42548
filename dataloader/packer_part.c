#include "dataloader/packer_part.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/slice.h"
#include "dataloader/packer_ordered.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARD_BYTES ((int64_t)1 << 30) // about, when the number of shards is not given

th_code th_pack_part_open(const char *path, bool rebuild, th_pack_part *out, bool *out_left,
                          th_err *err)
{
    th_code rc = TH_OK;

    *out = (th_pack_part){ .folder.lock = -1 };
    TH_TRY(th_new_folder_open(path, rebuild, &out->folder, out_left, err));
    TH_TRY(th_spool_open(out->folder.path, &out->spool, err));
out:
    return rc;
}

void th_pack_part_close(th_pack_part *part)
{
    if (part->folder.path[0])
        th_new_folder_close(&part->folder);
    th_spool_close(part->spool);
    free(part->shards);
    *part = (th_pack_part){ .folder.lock = -1 };
}

th_code th_pack_part_add(th_pack_part *part, const void *record, size_t size, th_err *err)
{
    th_code rc = th_spool_add(part->spool, record, size, err);

    part->records += rc == TH_OK;
    return rc;
}

_Bool th_caption_reader_next(void *context, const char **text, size_t *size)
{
    th_caption_reader *reader = context;
    bool               more = true;

    while (reader->at == reader->record.caption_count) {
        size_t bytes = 0;
        reader->tick(reader->context);
        reader->rc = th_spool_next(reader->part->spool, &reader->buffer, &reader->room, &bytes,
                                   &more, &reader->err);
        if (reader->rc == TH_OK && more)
            reader->rc = th_record_read(reader->buffer, bytes, &reader->scratch, &reader->record,
                                        &reader->err);
        if (reader->rc != TH_OK || !more)
            return 0;
        reader->at = 0;
    }
    *text = reader->record.captions[reader->at].text;
    *size = reader->record.captions[reader->at].text_bytes;
    reader->at++;
    return 1;
}

typedef struct {
    void             *bytes; // as spooled
    size_t            room, size;
    th_record_scratch scratch;
    th_record         record;
    int32_t          *tokens; // of all captions, back to back
    size_t            token_room;
} spooled;

typedef struct {
    th_pack_part       *part;
    const th_tokenizer *tokenizer;
    th_token_cache    **caches; // one a thread
    th_shard_writer    *writer;
    int                 shard; // the one being filled
    int64_t             given, done_bytes;
    void (*tick)(void *context, int64_t done_bytes);
    void *context;
} writing;

static th_code take(void *context, void *slot, bool *out_more, th_err *err)
{
    writing *w = context;
    spooled *s = slot;

    return th_spool_next(w->part->spool, &s->bytes, &s->room, &s->size, out_more, err);
}

static th_code tokenize(void *context, int thread, void *slot, th_err *err)
{
    writing *w = context;
    spooled *s = slot;
    th_code  rc = TH_OK;
    size_t   used = 0;

    TH_TRY(th_record_read(s->bytes, s->size, &s->scratch, &s->record, err));
    size_t need = (size_t)s->record.caption_count * TH_RECORD_TOKENS;
    if (need > s->token_room) {
        int32_t *grown = realloc(s->tokens, need * sizeof *grown);
        TH_CHECK(grown, TH_EIO, "free some memory", "could not tokenize captions: out of memory");
        s->tokens = grown;
        s->token_room = need;
    }
    for (int i = 0; i < s->record.caption_count; i++) {
        th_caption *caption = &s->record.captions[i];
        int64_t     count = th_tokenizer_encode(w->tokenizer, caption->text, caption->text_bytes,
                                                w->caches[thread], s->tokens + used, TH_RECORD_TOKENS);
        caption->tokens = s->tokens + used;
        caption->token_count = (uint32_t)(count < TH_RECORD_TOKENS ? count : TH_RECORD_TOKENS);
        used += caption->token_count;
    }
out:
    return rc;
}

static th_code finish_shard(writing *w, th_err *err)
{
    th_code        rc = TH_OK;
    th_shard_info *info = &w->part->shards[w->shard];

    TH_TRY(th_shard_commit(w->writer, &info->records, &info->bytes, &info->hash, err));
    th_shard_writer_close(w->writer);
    w->writer = NULL;
    w->shard++;
out:
    return rc;
}

static th_code give(void *context, void *slot, th_err *err)
{
    writing      *w = context;
    spooled      *s = slot;
    th_pack_part *part = w->part;
    th_code       rc = TH_OK;
    char          path[PATH_MAX];

    if (!w->writer) {
        TH_CHECK(th_new_folder_shard(&part->folder, w->shard, path, sizeof path), TH_EUSAGE,
                 "use a shorter path", "path of pack \"%.100s...\" is too long", part->folder.path);
        TH_TRY(th_shard_create(path, &w->writer, err));
        (void)snprintf(part->shards[w->shard].file, sizeof part->shards->file, "%s",
                       strrchr(path, '/') + 1);
    }
    TH_TRY(th_shard_append(w->writer, &s->record, err));
    w->given++;
    w->done_bytes += (int64_t)s->size;
    part->captions += s->record.caption_count;
    for (int i = 0; i < s->record.caption_count; i++)
        part->tokens += s->record.captions[i].token_count;
    if (w->given == th_slice_first(part->records, part->shard_count, w->shard + 1))
        TH_TRY(finish_shard(w, err));
out:
    return rc;
}

static void tick(void *context)
{
    writing *w = context;
    w->tick(w->context, w->done_bytes);
}

static void drop(void *context, void *slot)
{
    spooled *s = slot;

    (void)context;
    free(s->bytes);
    free(s->scratch.bytes);
    free(s->tokens);
}

// How many shards: as asked, but none without a record.
static int count_shards(const th_pack_part *part, const th_pack_options *options)
{
    int64_t count = options->shards;

    if (count == 0)
        count = (th_spool_bytes(part->spool) + SHARD_BYTES - 1) / SHARD_BYTES;
    count = count > part->records ? part->records : count;
    return (int)(count > TH_PACK_SHARDS ? TH_PACK_SHARDS : count < 1 ? 1 : count);
}

th_code th_pack_part_write(th_pack_part *part, const th_pack_options *options,
                           const th_tokenizer *tokenizer, int                     threads,
                           void (*told)(void *context, int64_t done_bytes), void *context,
                           th_err *err)
{
    th_code        rc = TH_OK;
    void          *memory = NULL;
    writing        w = { .part = part, .tokenizer = tokenizer, .tick = told, .context = context };
    th_ordered_job job = { .context = &w,
                           .threads = threads,
                           .slot_bytes = sizeof(spooled),
                           .take = take,
                           .work = tokenize,
                           .give = give,
                           .tick = tick,
                           .drop = drop };

    part->shard_count = count_shards(part, options);
    TH_TRY(th_alloc((size_t)part->shard_count, sizeof *part->shards, "shards", &memory, err));
    part->shards = memory;
    TH_TRY(th_alloc((size_t)threads, sizeof(th_token_cache *), "token caches", &memory, err));
    w.caches = memory;
    for (int i = 0; i < threads; i++)
        TH_TRY(th_token_cache_open(&w.caches[i], err));
    TH_TRY(th_spool_rewind(part->spool, err));
    TH_TRY(th_ordered_run(&job, err));
out:
    th_shard_writer_close(w.writer);
    for (int i = 0; w.caches && i < threads; i++)
        th_token_cache_close(w.caches[i]);
    free(w.caches);
    return rc == TH_OK ? TH_OK : th_during(err, "writing pack \"%.100s\"", part->folder.path);
}

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

th_code th_pack_part_commit(th_pack_part *part, const th_pack_options *options,
                            const th_tokenizer *tokenizer, th_err *err)
{
    th_code      rc = TH_OK;
    char         path[PATH_MAX], *text = NULL;
    size_t       size = 0;
    const char  *file;
    th_pack_info info = { .size = options->size,
                          .margin = options->margin,
                          .vocabulary = th_tokenizer_vocabulary(tokenizer),
                          .tokenizer_hash = th_tokenizer_hash(tokenizer),
                          .records = part->records,
                          .captions = part->captions,
                          .shard_count = part->shard_count,
                          .shards = part->shards };

    (void)snprintf(info.codec, sizeof info.codec, "%s", options->codec);
    (void)snprintf(info.filter, sizeof info.filter, "%s", options->filter);
    (void)snprintf(info.alpha, sizeof info.alpha, "%s", options->alpha);
    (void)snprintf(info.exif, sizeof info.exif, "%s", options->exif);
    TH_TRY(set_normalization(&info, options->normalization, err));
    TH_TRY(th_tokenizer_print(tokenizer, &text, &size, &file, err));
    (void)snprintf(info.tokenizer_file, sizeof info.tokenizer_file, "%s", file);
    (void)snprintf(info.cleanup, sizeof info.cleanup, "%s",
                   th_cleanup_name(th_tokenizer_cleanup(tokenizer)));
    TH_CHECK(th_path_join(path, sizeof path, part->folder.path, file), TH_EUSAGE,
             "use a shorter path", "path of pack \"%.100s...\" is too long", part->folder.path);
    TH_TRY(th_file_replace(path, text, size, err));
    TH_TRY(th_pack_commit(part->folder.path, &info, err));
out:
    free(text);
    return rc;
}
