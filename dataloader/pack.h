/* dataloader/pack.h - a folder of shards that is read as one sequence of records.
 *
 *     dataset.json      format, preprocessing, tokenizer, per shard: file, bytes, records, hash
 *     NAME-00000.lmdb   shards (dataloader/shard.h)
 *     tokenizer.bpe     the pack's tokenizer, when merges say it all; else tokenizer.json
 *     quarantine.jsonl  every refused input: {"source", "key", "reason"} */
#ifndef TH_DATALOADER_PACK_H
#define TH_DATALOADER_PACK_H

#include "dataloader/shard.h"
#include "dataloader/tokenizer/tokenizer.h"
#include <stdbool.h>

#define TH_PACK_DATASET    "dataset.json"
#define TH_PACK_QUARANTINE "quarantine.jsonl"
#define TH_PACK_BEGUN      "unfinished.txt" // dataloader/packer_begun.h: not a pack yet
#define TH_PACK_FORMAT     1                // version of dataset.json
#define TH_PACK_SHARDS     100000           // most shards of a pack

typedef struct {
    char     file[64]; // in the pack's folder
    int64_t  records;
    uint64_t bytes, hash;
} th_shard_info;

typedef struct {
    int64_t size;   // short side of the pictures after resizing, what a model crops to
    int64_t margin; // extra pixels kept on the short side for random crops: stored short side is
                    // size + margin
    char           filter[16];            // "bicubic", "bilinear", "box"; of random crops too
    char           alpha[8];              // "white", "drop"
    char           exif[8];               // "ignore", "apply"
    char           codec[8];              // "raw", "zlib", "jpeg"
    float          mean[3], deviation[3]; // for pixels in [0, 1]
    char           normalization[16];     // "clip", "imagenet", "siglip"
    int64_t        vocabulary;
    uint64_t       tokenizer_hash;
    char           tokenizer_file[16]; // TH_TOKENIZER_MERGES (empty is the same) or _JSON
    char           cleanup[12];        // th_cleanup_name(); empty: of the file's kind
    int64_t        records, captions;
    int            shard_count;
    th_shard_info *shards;
} th_pack_info;

/* Writes dataset.json durably: this commits a pack. `folder` holds the shards and the tokenizer's
 * file by then. Errors: TH_EUSAGE when a field is not what th_pack_open accepts, TH_EIO. */
TH_MUST_CHECK th_code th_pack_commit(const char *folder, const th_pack_info *info, th_err *err);

typedef struct th_pack th_pack;

/* Opens every shard at once, so that what is missing shows before a run begins and reading takes no
 * lock: one open file and a few reads a shard (ulimit -n must allow them). Errors: TH_EDATA
 * (dataset.json missing, broken or of another format version; a shard missing, of another size or
 * number of records; another tokenizer), each with the file; TH_EIO. */
TH_MUST_CHECK th_code th_pack_open(const char *folder, th_pack **out, th_err *err);
void                  th_pack_close(th_pack *pack); // accepts NULL
const th_pack_info   *th_pack_describe(const th_pack *pack);
const th_tokenizer   *th_pack_tokenizer(const th_pack *pack);
uint64_t              th_pack_hash(const th_pack *pack); // of dataset.json: same pack, same hash
const char           *th_pack_folder(const th_pack *pack);

/* Reads record i of the whole pack: copied out of the map and verified. `copy` and `scratch` are
 * the calling thread's own. Errors: TH_EDATA naming shard and record; TH_EIO. Any thread. */
TH_MUST_CHECK th_code th_pack_read(th_pack *pack, int64_t i, th_record_scratch *copy,
                                   th_record_scratch *scratch, th_record *out, th_err *err);

/* Reads every record of every shard and each shard's whole-file hash. `bad` (may be NULL) is called
 * for each that does not hold, with record -1 when it is a file as a whole. Pictures are not
 * decoded. Errors: TH_EDATA when any is bad; TH_EIO, which stops it. */
TH_MUST_CHECK th_code th_pack_verify(th_pack *pack,
                                     void (*bad)(void *context, int64_t record, const th_err *why),
                                     void *context, th_err *err);

#endif
