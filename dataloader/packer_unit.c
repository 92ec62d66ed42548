#include "dataloader/packer_unit.h"

#include "base/file.h"
#include "base/hash.h"
#include "dataloader/packer_quarantine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES ((size_t)1 << 30) // of a record

static const char fix_memory[] = "free some memory";
static const char fix_disk[] = "make room on the disk of the new pack";

void th_unit_close(th_unit *unit)
{
    free(unit->refused);
    *unit = (th_unit){ 0 };
}

// --- in the making ---

th_code th_unit_begin(th_unit_writer *writer, const th_new_folder *folders, int number,
                      int64_t side, th_err *err)
{
    th_code rc = TH_OK;

    *writer = (th_unit_writer){ .folders = folders, .number = number, .side = side };
    writer->lines = open_memstream(&writer->unit.refused, &writer->unit.refused_bytes);
    TH_CHECK(writer->lines, TH_EIO, fix_memory, "could not begin a shard: out of memory");
out:
    return rc;
}

th_code th_unit_add(th_unit_writer *writer, th_part part, const th_made_sample *sample, th_err *err)
{
    th_code        rc = TH_OK;
    char           path[PATH_MAX];
    th_shard_info *shard = &writer->unit.shards[part];

    if (!writer->writers[part]) {
        TH_CHECK(th_new_folder_shard(&writer->folders[part], writer->number, path, sizeof path),
                 TH_EIO, "use a shorter path", "path of pack \"%.100s...\" is too long",
                 writer->folders[part].path);
        TH_TRY(th_shard_create(path, &writer->writers[part], err));
        (void)snprintf(shard->file, sizeof shard->file, "%s", strrchr(path, '/') + 1);
    }
    TH_TRY(th_shard_append_bytes(writer->writers[part], sample->record, sample->size, err));
    th_tally_add(&writer->unit.tally, part, sample, writer->side);
out:
    return rc;
}

th_code th_unit_refuse(th_unit_writer *writer, const th_item *item, th_err *err)
{
    th_tally_refuse(&writer->unit.tally, item->reason);
    return th_quarantine_print(item, writer->lines, err);
}

static json_t *print_shard(const th_shard_info *shard)
{
    char hash[TH_HASH_TEXT];

    th_hash_print(shard->hash, hash);
    return json_pack("{s:s, s:I, s:I, s:s}", "file", shard->file, "records",
                     (json_int_t)shard->records, "bytes", (json_int_t)shard->bytes, "hash", hash);
}

static th_code write_record(const th_unit_writer *writer, th_err *err)
{
    th_code        rc = TH_OK;
    const th_unit *unit = &writer->unit;
    char           path[PATH_MAX], *head = NULL, *all = NULL;
    json_t        *root =
        json_pack("{s:[o, o], s:o}", "shards", print_shard(&unit->shards[TH_PART_TRAIN]),
                  print_shard(&unit->shards[TH_PART_VAL]), "tally", th_tally_print(&unit->tally));

    head = root ? json_dumps(root, JSON_COMPACT) : NULL;
    TH_CHECK(head && asprintf(&all, "%s\n%s", head, unit->refused) >= 0, TH_EIO, fix_memory,
             "could not note a finished shard: out of memory");
    TH_CHECK(th_new_folder_unit(writer->folders, writer->number, path, sizeof path), TH_EIO,
             "use a shorter path", "path of pack \"%.100s...\" is too long", writer->folders->path);
    TH_TRY(th_file_replace(path, all, strlen(all), err));
out:
    free(all);
    free(head);
    json_decref(root);
    return rc;
}

th_code th_unit_commit(th_unit_writer *writer, th_err *err)
{
    th_code rc = TH_OK;

    for (int part = 0; part < TH_PARTS; part++) {
        th_shard_info *shard = &writer->unit.shards[part];
        if (writer->writers[part])
            TH_TRY(th_shard_commit(writer->writers[part], &shard->records, &shard->bytes,
                                   &shard->hash, err));
    }
    TH_CHECK(fflush(writer->lines) == 0, TH_EIO, fix_memory,
             "could not note refused samples: out of memory");
    TH_TRY(write_record(writer, err));
    th_unit_drop(writer);
out:
    return rc;
}

void th_unit_drop(th_unit_writer *writer)
{
    for (int part = 0; part < TH_PARTS; part++)
        th_shard_writer_close(writer->writers[part]);
    if (writer->lines)
        (void)fclose(writer->lines); // in memory
    th_unit_close(&writer->unit);
    *writer = (th_unit_writer){ 0 };
}

// --- finished ---

static bool parse_shard(const json_t *from, th_shard_info *out)
{
    const char *file, *hash;
    json_int_t  records, bytes;

    if (json_unpack((json_t *)from, "{s:s, s:I, s:I, s:s}", "file", &file, "records", &records,
                    "bytes", &bytes, "hash", &hash) != 0)
        return false;
    out->records = records;
    out->bytes = (uint64_t)bytes;
    return snprintf(out->file, sizeof out->file, "%s", file) < (int)sizeof out->file &&
           !strchr(file, '/') && th_hash_parse(hash, &out->hash);
}

static bool parse(const char *text, size_t size, th_unit *out)
{
    const char *line = memchr(text, '\n', size);
    json_t     *root = line ? json_loadb(text, (size_t)(line - text), 0, NULL) : NULL;
    json_t     *train, *val, *tally;
    bool        good =
        root &&
        json_unpack(root, "{s:[o, o], s:o}", "shards", &train, &val, "tally", &tally) == 0 &&
        parse_shard(train, &out->shards[TH_PART_TRAIN]) &&
        parse_shard(val, &out->shards[TH_PART_VAL]) && th_tally_parse(tally, &out->tally);

    json_decref(root);
    if (good) {
        out->refused_bytes = size - (size_t)(line + 1 - text);
        out->refused = strndup(line + 1, out->refused_bytes);
    }
    return good;
}

// The shards are there as the record says. What is in them was flushed before the record.
static bool has_shards(const th_new_folder *folders, const th_unit *unit)
{
    for (int part = 0; part < TH_PARTS; part++) {
        char        path[PATH_MAX];
        struct stat status;
        if (unit->shards[part].records > 0 &&
            (!th_path_join(path, sizeof path, folders[part].path, unit->shards[part].file) ||
             stat(path, &status) != 0 || (uint64_t)status.st_size != unit->shards[part].bytes))
            return false;
    }
    return true;
}

th_code th_unit_read(const th_new_folder *folders, int number, th_unit *out, bool *out_there,
                     th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], *text = NULL;
    size_t  size;

    *out = (th_unit){ 0 };
    *out_there = false;
    TH_CHECK(th_new_folder_unit(folders, number, path, sizeof path), TH_EIO, "use a shorter path",
             "path of pack \"%.100s...\" is too long", folders->path);
    if (!th_path_exists(path))
        return TH_OK;
    TH_TRY(th_file_read(path, MOST_BYTES, &text, &size, err));
    TH_CHECK(parse(text, size, out), TH_EDATA, "remove it: what it tells of is then packed again",
             "\"%s\" is damaged", path);
    TH_CHECK(out->refused, TH_EIO, fix_memory, "could not read \"%s\": out of memory", path);
    *out_there = has_shards(folders, out);
out:
    free(text);
    if (rc != TH_OK || !*out_there)
        th_unit_close(out);
    return rc;
}

th_code th_unit_forget(const th_new_folder *folders, int number, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX];

    TH_CHECK(th_new_folder_unit(folders, number, path, sizeof path), TH_EIO, "use a shorter path",
             "path of pack \"%.100s...\" is too long", folders->path);
    TH_CHECK(unlink(path) == 0 || errno == ENOENT, TH_EIO, fix_disk, "could not remove \"%s\": %s",
             path, strerror(errno));
out:
    return rc;
}
