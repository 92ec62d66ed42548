/* dataloader/record.h - one sample as stored bytes.
 *
 * Little-endian, no padding:
 *     "TREC"  u16 version = 1  u8 codec  u8 zero  u64 sample_id  u16 width  u16 height
 *     u32 image_bytes  u16 caption_count  u16 zero
 *     caption_count x { u32 text_bytes, u32 token_count }
 *     image bytes, then the captions' UTF-8 bytes back to back, then their i32 token ids
 *     u64 XXH3-64 of all that stands before it
 * Token ids are those of the pack's tokenizer, without SOT and EOT. */
#ifndef TH_DATALOADER_RECORD_H
#define TH_DATALOADER_RECORD_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum { TH_CODEC_RAW = 0, TH_CODEC_ZLIB = 1, TH_CODEC_JPEG = 2 } th_codec;

#define TH_RECORD_CAPTIONS      1024        // most captions of a record
#define TH_RECORD_CAPTION_BYTES 65536       // longest caption
#define TH_RECORD_TOKENS        1024        // most token ids kept of a caption
#define TH_RECORD_SIDE          8192        // largest stored width or height
#define TH_RECORD_BYTES         (256 << 20) // largest record

typedef struct {
    const char    *text; // UTF-8, not zero-terminated
    uint32_t       text_bytes;
    const int32_t *tokens; // may stand unaligned in a record: th_record_open copies
    uint32_t       token_count;
} th_caption;

typedef struct {
    uint64_t    sample_id;
    int         width, height; // of the stored picture
    th_codec    codec;
    const void *image; // encoded bytes
    uint32_t    image_bytes;
    int         caption_count;
    th_caption *captions;
} th_record;

/* Which sample this is, also in another pack of the same files: by the name of the tar, table, list
 * or folder that it came from, without those above it, and its key there. */
uint64_t th_sample_id(const char *source, const char *key);

/* Bytes of the record, or 0 when it breaks a limit above. */
size_t th_record_size(const th_record *record);

/* Writes th_record_size(record) bytes at out, hash included. */
void th_record_write(const th_record *record, unsigned char *out);

/* Reads a record from `size` bytes, which are kept by *out (pointers into them; captions and tokens
 * are put into `scratch`, which grows by realloc and is the caller's: free(scratch->bytes)).
 * Everything is checked: magic, version, hash, limits, and that the lengths add up to `size`.
 * Errors: TH_EDATA with what is wrong. Any thread. */
typedef struct {
    void  *bytes;
    size_t size;
} th_record_scratch;
TH_MUST_CHECK th_code th_record_read(const void *bytes, size_t size, th_record_scratch *scratch,
                                     th_record *out, th_err *err);

#endif
