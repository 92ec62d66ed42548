#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define PIECE_BYTES ((size_t)1 << 20)

struct th_hasher {
    XXH3_state_t *state;
};

uint64_t th_hash(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

th_code th_hasher_open(th_hasher **out, th_err *err)
{
    th_code    rc = TH_OK;
    th_hasher *hasher = calloc(1, sizeof *hasher);

    TH_CHECK(hasher && (hasher->state = XXH3_createState()), TH_EIO, "free some memory",
             "could not start a hash: out of memory");
    (void)XXH3_64bits_reset(hasher->state); // fails only on NULL
    *out = hasher;
    hasher = NULL;
out:
    th_hasher_close(hasher);
    return rc;
}

void th_hasher_close(th_hasher *hasher)
{
    if (!hasher)
        return;
    (void)XXH3_freeState(hasher->state); // accepts NULL, always XXH_OK
    free(hasher);
}

void th_hasher_add(th_hasher *hasher, const void *bytes, size_t size)
{
    if (size > 0)
        (void)XXH3_64bits_update(hasher->state, bytes, size); // fails only on NULL
}

uint64_t th_hasher_value(const th_hasher *hasher)
{
    return XXH3_64bits_digest(hasher->state);
}

// The first `limit` bytes, or fewer when the file ends before.
static th_code hash_head(const char *path, uint64_t limit, uint64_t *out_hash, uint64_t *out_bytes,
                         th_err *err)
{
    th_code        rc = TH_OK;
    const char    *fix = "check that the file exists and is readable, and the health of the disk";
    th_hasher     *hasher = NULL;
    unsigned char *piece = NULL;
    uint64_t       bytes = 0;
    int            fd = open(path, O_RDONLY | O_CLOEXEC);

    TH_CHECK(fd >= 0, TH_EIO, fix, "could not open file \"%s\": %s", path, strerror(errno));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); // a hint
    TH_CHECK(piece = malloc(PIECE_BYTES), TH_EIO, "free some memory",
             "could not hash file \"%s\": out of memory", path);
    TH_TRY(th_hasher_open(&hasher, err));
    for (ssize_t got = 1; got != 0 && bytes < limit;) {
        uint64_t left = limit - bytes;
        got = read(fd, piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        TH_CHECK(got >= 0, TH_EIO, fix, "could not read file \"%s\" at byte %" PRIu64 ": %s", path,
                 bytes, strerror(errno));
        th_hasher_add(hasher, piece, (size_t)got);
        bytes += (uint64_t)got;
    }
    *out_hash = th_hasher_value(hasher);
    *out_bytes = bytes;
out:
    th_hasher_close(hasher);
    free(piece);
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

th_code th_hash_file(const char *path, uint64_t *out_hash, uint64_t *out_bytes, th_err *err)
{
    uint64_t bytes;
    th_code  rc = TH_OK;

    TH_TRY(hash_head(path, UINT64_MAX, out_hash, &bytes, err));
    if (out_bytes)
        *out_bytes = bytes;
out:
    return rc;
}

th_code th_hash_file_head(const char *path, uint64_t head_bytes, uint64_t *out_hash, th_err *err)
{
    uint64_t bytes;
    th_code  rc = TH_OK;

    TH_TRY(hash_head(path, head_bytes, out_hash, &bytes, err));
    TH_CHECK(bytes == head_bytes, TH_EDATA, "get the file again from where it is whole",
             "file \"%s\" ends at byte %" PRIu64 ", before %" PRIu64, path, bytes, head_bytes);
out:
    return rc;
}

void th_hash_print(uint64_t hash, char out[TH_HASH_TEXT])
{
    (void)snprintf(out, TH_HASH_TEXT, "%016" PRIx64, hash);
}

_Bool th_hash_parse(const char *text, uint64_t *out)
{
    if (strlen(text) != TH_HASH_TEXT - 1 || strspn(text, "0123456789abcdef") != TH_HASH_TEXT - 1)
        return 0;
    *out = strtoull(text, NULL, 16);
    return 1;
}
