// dataloader/shard_tree, and LMDB behind it. A damaged shard is a whole one with patches: the input
// is a list of them, so that a mutation is a change of the structure and not of its zeros.
//
//     u8 which shard   u16 bytes cut off its end   then patches of { u16 page, u16 offset, u32
//     value }
//
// What the tree accepts, LMDB must walk without harm, and every value must be inside of the file.
#include "base/log.h"
#include "dataloader/shard.h"
#include "dataloader/shard_tree.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <unistd.h>

#define SHARDS     3
#define PAGE       4096
#define PATCH      8
#define HEAD_BYTES 3

static struct {
    uint8_t *bytes;
    size_t   size;
} whole[SHARDS];

// `records` of `side` x `side` pixels: in one leaf, in many below a branch, on pages of their own.
static void make_shard(int i, int records, int side)
{
    static uint8_t   pixels[64 * 64 * 3];
    char             path[] = "/tmp/fuzz-shard-XXXXXX";
    th_caption       caption = { "a word", 6, (int32_t[]){ 1, 2 }, 2 };
    th_shard_writer *writer = NULL;
    th_err           err = { 0 };
    int64_t          count;
    uint64_t         bytes, hash;

    int fd = mkstemp(path);
    th_fuzz_claim(fd >= 0 && close(fd) == 0);
    th_fuzz_claim(th_shard_create(path, &writer, &err) == TH_OK);
    for (int k = 0; k < records; k++) {
        th_record record = { .sample_id = (uint64_t)k,
                             .width = side,
                             .height = side,
                             .image = pixels,
                             .image_bytes = (uint32_t)(side * side * 3),
                             .caption_count = 1,
                             .captions = &caption };
        th_fuzz_claim(th_shard_append(writer, &record, &err) == TH_OK);
    }
    th_fuzz_claim(th_shard_commit(writer, &count, &bytes, &hash, &err) == TH_OK);
    th_shard_writer_close(writer);
    FILE *file = fopen(path, "rb");
    whole[i].bytes = malloc(bytes);
    whole[i].size = bytes;
    th_fuzz_claim(file && whole[i].bytes && fread(whole[i].bytes, 1, bytes, file) == bytes);
    (void)fclose(file);
    (void)unlink(path);
}

static void read_shard(const char *path)
{
    th_shard         *shard = NULL;
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         record;
    th_err            err = { 0 };
    size_t            size;
    th_code           rc = th_shard_open(path, &shard, &err);

    if (rc != TH_OK)
        th_fuzz_refusal(rc, err);
    for (int64_t i = 0; rc == TH_OK && i < th_shard_records(shard); i++) {
        th_code read = th_shard_copy(shard, i, &copy, &size, &err);
        if (read == TH_OK)
            read = th_record_read(copy.bytes, size, &scratch, &record, &err);
        if (read != TH_OK)
            th_fuzz_refusal(read, err);
    }
    th_shard_close(shard);
    free(copy.bytes);
    free(scratch.bytes);
}

static void read_tree(size_t size)
{
    th_shard_tree tree = { 0 };
    th_err        err = { 0 };
    th_code       rc = th_shard_tree_open(th_fuzz_file_fd(), "fuzz", 0, &tree, &err);

    if (rc != TH_OK)
        th_fuzz_refusal(rc, err);
    for (uint64_t k = 0; rc == TH_OK && k < tree.leaf_count; k++) {
        uint64_t first = tree.leaves[k].first;
        uint64_t behind = k + 1 < tree.leaf_count ? tree.leaves[k + 1].first : tree.records;
        th_fuzz_claim(first <= behind && behind - first <= TH_SHARD_PAGE);
        th_shard_value *values = calloc(behind - first + 1, sizeof *values);
        th_fuzz_claim(values);
        th_code leaf =
            th_shard_tree_check_leaf(&tree, th_fuzz_file_fd(), "fuzz", k, 0, values, &err);
        for (uint64_t i = 0; leaf == TH_OK && i < behind - first; i++)
            th_fuzz_claim(values[i].offset <= size && values[i].bytes <= size - values[i].offset);
        if (leaf != TH_OK)
            th_fuzz_refusal(leaf, err);
        free(values);
    }
    th_shard_tree_close(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!whole[0].bytes) {
        th_log_setup(TH_ALARM, -1);
        make_shard(0, 3, 4);
        make_shard(1, 700, 2);
        make_shard(2, 3, 64);
    }
    if (size < HEAD_BYTES)
        return 0;
    int      which = bytes[0] % SHARDS;
    size_t   cut = bytes[1] + 256u * bytes[2], length = whole[which].size;
    uint8_t *damaged = malloc(length);
    th_fuzz_claim(damaged);
    memcpy(damaged, whole[which].bytes, length);
    for (const uint8_t *at = bytes + HEAD_BYTES; at + PATCH <= bytes + size; at += PATCH) {
        size_t page = (at[0] + 256u * at[1]) % (length / PAGE);
        size_t offset = (at[2] + 256u * at[3]) % (PAGE - sizeof(uint32_t) + 1);
        memcpy(damaged + page * PAGE + offset, at + 4, sizeof(uint32_t));
    }
    length -= cut < length ? cut : length;
    const char *path = th_fuzz_file(damaged, length);
    read_tree(length);
    read_shard(path);
    free(damaged);
    return 0;
}
