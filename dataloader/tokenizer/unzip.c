#include "dataloader/tokenizer/unzip.h"

#include "dataloader/tokenizer/grow.h"
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#define WITH_GZIP_HEADER (15 + 16) // inflateInit2(): the largest window, in gzip's wrapping
#define PIECE            ((size_t)1 << 20)

static const char fix_gzip[] = "copy the file again from where it is whole";

bool th_is_gzip(const char *bytes, size_t size)
{
    return size >= 2 && (unsigned char)bytes[0] == 0x1F && (unsigned char)bytes[1] == 0x8B;
}

th_code th_unzip(const char *bytes, size_t size, size_t limit_bytes, char **out, size_t *out_size,
                 th_err *err)
{
    th_code  rc = TH_OK;
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size };
    char    *text = NULL;
    size_t   room = 0, used = 0;
    int      state = Z_OK;
    bool     has_memory = true;

    TH_CHECK(size <= UINT_MAX, TH_EDATA, fix_gzip, "%zu bytes of gzip are too many", size);
    TH_CHECK(inflateInit2(&stream, WITH_GZIP_HEADER) == Z_OK, TH_EIO, "free some memory",
             "zlib could not start: no memory");
    while (state == Z_OK && used <= limit_bytes) {
        void *grown = th_grow(text, &room, used + PIECE + 1, 1);

        has_memory = grown != NULL;
        if (!has_memory)
            break;
        text = grown;
        stream.next_out = (Bytef *)text + used;
        stream.avail_out = (uInt)PIECE;
        state = inflate(&stream, Z_NO_FLUSH);
        used += PIECE - stream.avail_out;
    }
    (void)inflateEnd(&stream);
    TH_CHECK(has_memory, TH_EIO, "free some memory", "could not unzip: no memory");
    TH_CHECK(used <= limit_bytes, TH_EDATA, "use another file", "over %zu bytes when unzipped",
             limit_bytes);
    TH_CHECK(state == Z_STREAM_END, TH_EDATA, fix_gzip, "damaged gzip: zlib says %d", state);
    text[used] = '\0';
    *out = text;
    text = NULL;
    *out_size = used;
out:
    free(text);
    return rc;
}
