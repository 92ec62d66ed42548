/* dataloader/packer_part.h - one pack in the making: the train part, or the validation part.
 *
 *     open -> add records without tokens -> write (tokenizes, fills the shards) -> commit
 *
 * Shards get contiguous runs of records, so record numbers are the order of the source, one shard
 * at a time is open, and a block of the shuffled order (dataloader/order.h) is one sequential read
 * in one file. Spreading records round-robin would shuffle nothing that the order does not: its
 * window mixes 256 blocks from anywhere in the pack. */
#ifndef TH_DATALOADER_PACKER_PART_H
#define TH_DATALOADER_PACKER_PART_H

#include "dataloader/packer.h"
#include "dataloader/packer_folder.h"
#include "dataloader/packer_spool.h"

typedef struct {
    th_new_folder  folder;
    th_spool      *spool;
    int64_t        records, captions, tokens;
    th_shard_info *shards;
    int            shard_count;
} th_pack_part;

/* th_new_folder_open and a spool in it. */
TH_MUST_CHECK th_code th_pack_part_open(const char *path, bool rebuild, th_pack_part *out,
                                        bool *out_left, th_err *err);
/* Accepts a zeroed one, and one whose open failed. Shards that were not committed are removed. */
void th_pack_part_close(th_pack_part *part);

TH_MUST_CHECK th_code th_pack_part_add(th_pack_part *part, const void *record, size_t size,
                                       th_err *err);

/* Gives the part's captions one by one: th_next_caption over the records added. */
typedef struct {
    th_pack_part     *part;
    void             *buffer;
    size_t            room;
    th_record_scratch scratch;
    th_record         record;
    int               at; // next caption of the record
    void (*tick)(void *context);
    void   *context;
    th_code rc; // why the captions ended, when they did not end by themselves
    th_err  err;
} th_caption_reader;
_Bool th_caption_reader_next(void *reader, const char **text, size_t *size);

/* Second pass, over `threads` threads. `tick` is told the bytes of the spool that were done.
 * Errors: TH_EIO. */
TH_MUST_CHECK th_code th_pack_part_write(th_pack_part *part, const th_pack_options *options,
                                         const th_tokenizer *tokenizer, int threads,
                                         void (*tick)(void *context, int64_t done_bytes),
                                         void *context, th_err *err);

/* The tokenizer's file, then dataset.json: the part is a pack. Errors: TH_EIO, TH_EUSAGE. */
TH_MUST_CHECK th_code th_pack_part_commit(th_pack_part *part, const th_pack_options *options,
                                          const th_tokenizer *tokenizer, th_err *err);

#endif
