/* tests/unit/dataloader/pack_fixture.h - a small pack of known records (record_fixture.h). */
#ifndef TH_TESTS_PACK_FIXTURE_H
#define TH_TESTS_PACK_FIXTURE_H

#include "base/file.h"
#include "base/hash.h"
#include "dataloader/pack.h"
#include "record_fixture.h"

// A tokenizer of the 512 bytes, two merges, SOT and EOT.
#define FIXTURE_MERGES     "#version: 0.2\nc a\nca p\n"
#define FIXTURE_VOCABULARY 516

/* What a pack holds: record i is fixture_make(i, width, height, captions of it). */
typedef struct {
    int64_t records;
    int     shards;
    int64_t size, margin; // pictures are size + margin high and `wider` pixels wider
    int     wider, captions;
    void (*change)(int64_t number, fixture *f); // NULL, or what to make of a record before it is
                                                // written
} pack_plan;

static inline void pack_write(const char *folder, const pack_plan *plan)
{
    th_pack_info  info = { .size = plan->size,
                           .margin = plan->margin,
                           .filter = "bicubic",
                           .alpha = "white",
                           .exif = "ignore",
                           .codec = "raw",
                           .mean = { 0.48145466f, 0.4578275f, 0.40821073f },
                           .deviation = { 0.26862954f, 0.26130258f, 0.27577711f },
                           .normalization = "clip",
                           .records = plan->records,
                           .captions = plan->records * plan->captions,
                           .shard_count = plan->shards };
    char          path[4096];
    th_tokenizer *tokenizer = NULL;
    th_err        err = { 0 };
    int64_t       number = 0;

    th_test_path(path, sizeof path, folder, TH_TOKENIZER_MERGES);
    th_assert_ok(th_file_replace(path, FIXTURE_MERGES, strlen(FIXTURE_MERGES), &err), &err);
    th_assert_ok(th_tokenizer_open_file(path, &tokenizer, &err), &err);
    info.vocabulary = th_tokenizer_vocabulary(tokenizer);
    info.tokenizer_hash = th_tokenizer_hash(tokenizer);
    th_tokenizer_close(tokenizer);
    assert_non_null(info.shards = calloc((size_t)plan->shards, sizeof *info.shards));
    for (int k = 0; k < plan->shards; k++) {
        th_shard_info   *shard = &info.shards[k];
        th_shard_writer *writer = NULL;
        int64_t          end = plan->records * (k + 1) / plan->shards;
        (void)snprintf(shard->file, sizeof shard->file, "pack-%05d.lmdb", k);
        th_test_path(path, sizeof path, folder, shard->file);
        th_assert_ok(th_shard_create(path, &writer, &err), &err);
        for (; number < end; number++) {
            fixture f;
            int     height = (int)(plan->size + plan->margin);
            fixture_make(&f, number, height + plan->wider, height, plan->captions);
            if (plan->change)
                plan->change(number, &f);
            th_assert_ok(th_shard_append(writer, &f.record, &err), &err);
            fixture_free(&f);
        }
        th_assert_ok(th_shard_commit(writer, &shard->records, &shard->bytes, &shard->hash, &err),
                     &err);
        th_shard_writer_close(writer);
    }
    th_assert_ok(th_pack_commit(folder, &info, &err), &err);
    free(info.shards);
}

/* Finds the record of a sample in the files of a pack and flips a bit of its picture. The records
 * are found by their first bytes; fails when it is not there. */
static inline void pack_damage_id(const char *folder, const pack_plan *plan, uint64_t id)
{
    unsigned char head[16] = { 'T', 'R', 'E', 'C', 1, 0, 0, 0 };

    memcpy(head + 8, &id, sizeof id); // little-endian, as this machine
    for (int k = 0; k < plan->shards; k++) {
        char   path[4096], name[64], *bytes = NULL;
        size_t size = 0;
        th_err err = { 0 };
        (void)snprintf(name, sizeof name, "pack-%05d.lmdb", k);
        th_test_path(path, sizeof path, folder, name);
        th_assert_ok(th_file_read(path, (size_t)1 << 30, &bytes, &size, &err), &err);
        char *found = memmem(bytes, size, head, sizeof head);
        if (found) {
            found[28 + 8 * plan->captions + 5] ^= 4;
            th_assert_ok(th_file_replace(path, bytes, size, &err), &err);
        }
        free(bytes);
        if (found)
            return;
    }
    fail_msg("sample %016llx is not in the pack", (unsigned long long)id);
}

/* The same of record `number`. */
static inline void pack_damage(const char *folder, const pack_plan *plan, int64_t number)
{
    pack_damage_id(folder, plan, (uint64_t)number * 1000003u);
}

#endif
