#include "dataloader/feature_cache_segment.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/feature_cache.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define VERSION 1

static const unsigned char magic[4] = { 'T', 'F', 'E', 'A' };
static const char          fix_segment[] = "nothing needs to be done: its rows are computed again";
static const char          fix_read[] = "check the health of the disk, and limits on open files";

th_feature_key th_feature_key_make(uint64_t item, uint32_t view)
{
    return (th_feature_key){ .item = htole64(item), .view = htole32(view) };
}

uint64_t th_feature_key_hash(const th_feature_key *key)
{
    return th_hash(key, sizeof *key);
}

uint64_t th_feature_row_hash(const th_feature_key *key, const void *row, size_t row_bytes)
{
    struct {
        th_feature_key key;
        uint64_t       row;
    } both = { *key, htole64(th_hash(row, row_bytes)) };

    return htole64(th_hash(&both, sizeof both));
}

uint64_t th_segment_bytes(uint64_t row_bytes, uint64_t rows)
{
    return TH_SEGMENT_HEAD + rows * (sizeof(th_feature_key) + row_bytes + TH_ROW_TRAILER);
}

static uint64_t head_hash(const unsigned char *bytes)
{
    return th_hash(bytes, TH_SEGMENT_HEAD - sizeof(uint64_t));
}

void th_segment_head_print(const th_segment_head *head, int rank,
                           unsigned char bytes[TH_SEGMENT_HEAD], char name[TH_SEGMENT_NAME])
{
    uint32_t version = htole32(VERSION);
    uint64_t words[] = { htole64(head->cache_key), htole64(head->row_bytes), htole64(head->rows),
                         htole64(head->keys_hash) };
    char     text[TH_HASH_TEXT];

    memcpy(bytes, magic, sizeof magic);
    memcpy(bytes + 4, &version, sizeof version);
    memcpy(bytes + 8, words, sizeof words);
    uint64_t hash = head_hash(bytes), stored = htole64(hash);
    memcpy(bytes + 8 + sizeof words, &stored, sizeof stored);
    th_hash_print(hash, text);
    (void)snprintf(name, TH_SEGMENT_NAME, "rank-%05u-%s.rows", (unsigned)rank % 100000, text);
}

static bool parse_name(const char *name, uint64_t *out_hash)
{
    char text[TH_HASH_TEXT];

    if (strlen(name) != TH_SEGMENT_NAME - 1 || strncmp(name, "rank-", 5) != 0 ||
        strspn(name + 5, "0123456789") != 5 || name[10] != '-' || strcmp(name + 27, ".rows") != 0)
        return false;
    memcpy(text, name + 11, TH_HASH_TEXT - 1);
    text[TH_HASH_TEXT - 1] = '\0';
    return th_hash_parse(text, out_hash);
}

bool th_segment_is_name(const char *name)
{
    uint64_t hash;

    return parse_name(name, &hash);
}

// Reads exactly `size` bytes.
static th_code read_at(int fd, const char *name, uint64_t offset, void *out, size_t size,
                       th_err *err)
{
    th_code rc = TH_OK;
    char   *at = out;

    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        TH_CHECK(got >= 0, TH_EIO, fix_read, "could not read segment \"%s\": %s", name,
                 strerror(errno));
        TH_CHECK(got > 0, TH_EDATA, fix_segment, "segment \"%s\" is truncated", name);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
out:
    return rc;
}

static th_code parse_head(const unsigned char *bytes, const char *name, uint64_t file_bytes,
                          th_segment_head *out, th_err *err)
{
    th_code  rc = TH_OK;
    uint32_t version;
    uint64_t words[5], named = 0;

    memcpy(&version, bytes + 4, sizeof version);
    memcpy(words, bytes + 8, sizeof words);
    for (int i = 0; i < 5; i++)
        words[i] = le64toh(words[i]);
    TH_CHECK(memcmp(bytes, magic, sizeof magic) == 0 && words[4] == head_hash(bytes) &&
                 parse_name(name, &named) && named == words[4],
             TH_EDATA, fix_segment, "segment \"%s\" has a damaged header", name);
    TH_CHECK(le32toh(version) == VERSION, TH_EDATA, fix_segment,
             "segment \"%s\" has format version %u, this program reads %d", name, le32toh(version),
             VERSION);
    th_segment_head head = { words[0], words[1], words[2], words[3] };
    TH_CHECK(head.row_bytes >= 1 && head.row_bytes <= TH_FEATURE_ROW_BYTES && head.rows >= 1 &&
                 head.rows <= (uint64_t)TH_SEGMENT_ROWS,
             TH_EDATA, fix_segment, "segment \"%s\" tells of %llu rows of %llu bytes", name,
             (unsigned long long)head.rows, (unsigned long long)head.row_bytes);
    TH_CHECK(file_bytes == th_segment_bytes(head.row_bytes, head.rows), TH_EDATA, fix_segment,
             "segment \"%s\" has %llu bytes instead of %llu", name, (unsigned long long)file_bytes,
             (unsigned long long)th_segment_bytes(head.row_bytes, head.rows));
    *out = head;
out:
    return rc;
}

th_code th_segment_open(int dir, const char *name, th_segment_head *out, int *out_fd, th_err *err)
{
    th_code       rc = TH_OK;
    struct stat   status;
    unsigned char bytes[TH_SEGMENT_HEAD];
    int           fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    TH_CHECK(fd >= 0 && fstat(fd, &status) == 0, TH_EIO, fix_read,
             "could not open segment \"%s\": %s", name, strerror(errno));
    TH_CHECK(S_ISREG(status.st_mode), TH_EDATA, fix_segment, "segment \"%s\" is not a file", name);
    TH_TRY(read_at(fd, name, 0, bytes, sizeof bytes, err));
    TH_TRY(parse_head(bytes, name, (uint64_t)status.st_size, out, err));
    *out_fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

th_code th_segment_keys(int fd, const char *name, const th_segment_head *head, th_feature_key **out,
                        th_err *err)
{
    th_code         rc = TH_OK;
    size_t          bytes = head->rows * sizeof(th_feature_key);
    th_feature_key *keys = NULL;

    TH_TRY(th_alloc(head->rows, sizeof *keys, "the keys of a segment", (void **)&keys, err));
    TH_TRY(read_at(fd, name, TH_SEGMENT_HEAD, keys, bytes, err));
    TH_CHECK(th_hash(keys, bytes) == head->keys_hash, TH_EDATA, fix_segment,
             "segment \"%s\" has damaged keys", name);
    *out = keys;
    keys = NULL;
out:
    free(keys);
    return rc;
}

// One system call. A read that ends early, which only the end of a file and some network disks do,
// counts as damage: that costs one row.
bool th_segment_row(int fd, uint64_t rows, size_t row_bytes, uint64_t i, const th_feature_key *key,
                    void *out_row)
{
    uint64_t     stored = 0;
    struct iovec pieces[] = { { out_row, row_bytes }, { &stored, sizeof stored } };
    uint64_t     offset = TH_SEGMENT_HEAD + rows * sizeof(th_feature_key);
    ssize_t      got;

    do
        got = preadv(fd, pieces, 2, (off_t)(offset + i * (row_bytes + TH_ROW_TRAILER)));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)(row_bytes + TH_ROW_TRAILER) &&
           stored == th_feature_row_hash(key, out_row, row_bytes);
}
