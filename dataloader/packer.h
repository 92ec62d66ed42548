/* dataloader/packer.h - sources to packs: decode, resize, tokenize, shard, over all cores.
 *
 * Two passes: the first reads pictures and writes records without tokens to a spool (a nameless
 * file in the pack's folder); then the tokenizer is trained on the train captions, if asked; the
 * second pass tokenizes into shards. Which records come out, and in which order, does not depend on
 * the number of threads. Room needed on the disk: about three times the pack while it is made.
 *
 * Pictures: the short side becomes size + margin, by Pillow's filter (smaller ones are enlarged),
 * and a square of that side is cut from the centre: the bits of torchvision's Resize and
 * CenterCrop. All records of a pack have that size, and what a wide picture had at its ends is
 * gone.
 *
 * Captions: one a line, spaces at both ends dropped, blank ones left out. A sample is quarantined
 * when its picture cannot be decoded, its text is not UTF-8, a caption is over caption_bytes, there
 * are none or over TH_RECORD_CAPTIONS, or the source refused it. quarantine.jsonl in `to` lists
 * those of both packs.
 *
 * Sample id: XXH3-64 of the source's file or folder name, a line feed, and the key. The split into
 * train and val is a draw keyed by the key alone, so it is the same however the data are cut into
 * files.
 *
 * Committed last is `to`'s dataset.json: until then the same command cleans up what a killed packer
 * left, and begins anew. It touches nothing in a folder that holds any other file. */
#ifndef TH_DATALOADER_PACKER_H
#define TH_DATALOADER_PACKER_H

#include "base/option.h"
#include "dataloader/pack.h"
#include "dataloader/source/source.h"

typedef struct {
    const char       *from; // source spec (dataloader/source/source.h)
    th_source_options source;
    const char *to; // folder of the pack; with val > 0 also "<to>-val", with the same tokenizer
    int64_t     size, margin;
    const char *alpha;     // white, drop
    const char *exif;      // ignore, apply
    const char *filter;    // bicubic, bilinear, box
    const char *codec;     // raw, zlib, jpeg
    int64_t     quality;   // of jpeg
    int64_t     shards;    // how many, 0: by size (about 1 GiB each)
    double      val;       // share of the samples that goes to "<to>-val", by keyed draw on the key
    int64_t     bpe;       // train a tokenizer with this vocabulary, unless `tokenizer` is given
    const char *tokenizer; // what th_tokenizer_find() takes; NULL: train one
    const char *cleanup;   // open_clip, hf; NULL: as the tokenizer's files say
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
 * Errors: TH_EUSAGE (options; `to` is a pack, or holds other files, or another process packs into
 * it; nothing fell to val), TH_EDATA (nothing could be packed), TH_EIO. One call at a time per
 * folder. */
TH_MUST_CHECK th_code th_pack_build(const th_pack_options *options,
                                    void (*progress)(void *context, const th_pack_progress *now),
                                    void *context, th_pack_report *out, th_err *err);

#endif
