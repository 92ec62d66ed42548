/* dataloader/packer.h - sources to packs: decode, resize, tokenize, shard, over all cores.
 *
 * Two passes: the first reads pictures and writes records without tokens to a spool, and collects
 * the captions when a tokenizer is to be trained; the second tokenizes. Which records come out, and
 * in which order, does not depend on the number of threads. */
#ifndef TH_DATALOADER_PACKER_H
#define TH_DATALOADER_PACKER_H

#include "base/option.h"
#include "dataloader/pack.h"

typedef struct {
    const char *from; // source spec (dataloader/source/source.h)
    const char *to;   // folder of the pack; with val > 0 also "<to>-val"
    int64_t     size, margin;
    const char *codec;     // raw, zlib, jpeg
    int64_t     quality;   // of jpeg
    int64_t     shards;    // how many, 0: by size (about 1 GiB each)
    double      val;       // share of the samples that goes to "<to>-val", by keyed draw on the key
    int64_t     bpe;       // train a tokenizer with this vocabulary, unless `tokenizer` is given
    const char *tokenizer; // merges file, or a pack whose tokenizer is used
    const char *normalization; // clip, imagenet, siglip
    int64_t     threads;       // 0: all cores
    int64_t     caption_bytes; // longest caption kept; a longer one quarantines the sample
} th_pack_options;

extern const th_option th_pack_table[];
extern const int       th_pack_table_count;

typedef struct {
    int64_t read, packed, packed_val, quarantined;
    int64_t bytes_done, bytes_total;
    double  seconds;
    bool    tokenizing; // second pass
} th_pack_progress;

typedef struct {
    char    reason[64]; // "truncated JPEG"
    int64_t count;
} th_pack_reason;

typedef struct {
    th_pack_progress total;
    th_pack_reason   reasons[32]; // of the quarantine, most first; rare ones together as "other"
    int              reason_count;
    int64_t          vocabulary, captions; // captions: of both packs
    double           mean_tokens;          // a caption
} th_pack_report;

/* `progress` (may be NULL) is called a few times a second from the calling thread.
 * Errors: TH_EUSAGE (options; `to` exists already), TH_EDATA (nothing could be packed), TH_EIO. */
TH_MUST_CHECK th_code th_pack_build(const th_pack_options *options,
                                    void (*progress)(void *context, const th_pack_progress *now),
                                    void *context, th_pack_report *out, th_err *err);

#endif
