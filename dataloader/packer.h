/* dataloader/packer.h - sources to packs: decode, resize, tokenize, shard, over all cores.
 *
 * A first look skims the source: it counts samples, and reads captions but no pictures
 * (packer_survey.h). From that the tokenizer is trained, unless one is given, and the source is cut
 * into units (packer_units.h). Then each unit's pictures are decoded, resized and tokenized, and go
 * straight into the unit's own shards: pixels are written once, and a unit that is finished is
 * never done again (packer_unit.h).
 *
 * Killed at any moment, the same command goes on behind the last finished unit, and what it ends
 * with is byte for byte what one undisturbed start would have given: dataset.json, shards,
 * tokenizer and quarantine.jsonl. Another command in that folder is refused, naming what differs
 * (packer_begun.h). The first look is repeated at each start, and tells if the source has changed.
 *
 * Ranks take turns with the units, and in the first look with the source's tars, unless a tokenizer
 * is trained, which rank 0 does alone; a file system that all of them see is assumed. The pack
 * follows from the source and the options alone, whatever the number of ranks and threads.
 *
 * Pictures: the short side becomes size + margin, by Pillow's filter (smaller ones are enlarged),
 * and a square of that side is cut from the centre: the bits of torchvision's Resize and
 * CenterCrop. All records of a pack have that size, and what a wide picture had at its ends is
 * gone.
 *
 * Captions: one a line, spaces at both ends dropped, blank ones left out. A sample is quarantined
 * when its picture cannot be decoded, its text is not UTF-8, a caption is over caption_bytes, there
 * are none or over TH_RECORD_CAPTIONS, or the source refused it. quarantine.jsonl in `to` lists
 * those of both packs. A tokenizer is trained on the good captions of the train part, of pictures
 * too that turn out bad later.
 *
 * Sample id: XXH3-64 of the source's file or folder name, a line feed, and the key. The split into
 * train and val is a draw keyed by the key alone, so it is the same however the data are cut into
 * files.
 *
 * Committed last is `to`'s dataset.json. A folder with files of a pack but neither dataset.json nor
 * unfinished.txt is cleaned up first; one that holds any other file is not touched. */
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

#define TH_PACK_REASONS 32

typedef struct {
    int64_t read, packed, packed_val, quarantined; // by this rank and start, until the end
    int64_t done, to_do;                           // samples; of the first look: bytes, or zeros
    double  seconds;
    bool    looking; // the first look
} th_pack_progress;

typedef struct {
    char    reason[64]; // "truncated JPEG"
    int64_t count;
} th_pack_reason;

typedef struct {
    th_pack_progress total;       // of all starts and ranks, but for the seconds
    int64_t          kept;        // samples that earlier starts had finished
    bool             done_before; // all was done but for cleaning up: only `total.seconds` is set
    th_pack_reason   reasons[TH_PACK_REASONS]; // of the quarantine, most first; rare: "other"
    int              reason_count;
    int64_t          vocabulary, captions; // captions: of both packs
    double           mean_tokens;          // a caption, without start and end of text
    int64_t          tokens_median, tokens_95, tokens_most; // TH_RECORD_TOKENS is "or more"
    int64_t          context, over_context; // usual with this tokenizer; captions that do not fit
    int64_t          side_least, side_median, side_most; // short sides of pictures as decoded
    int64_t          enlarged;                           // pictures smaller than size + margin
    int64_t          shards, bytes;                      // of both packs
} th_pack_report;

/* The ranks that pack together, as launch/ knows them. Both calls are collective, from the thread
 * that called th_pack_build. */
typedef struct {
    void *context;
    int   rank, ranks, host_ranks; // host_ranks: on this host
    /* Each rank's code in, TH_OK or an error for all out (comm/agree.h). */
    th_code (*agree)(void *context, th_code code, th_err *err);
    /* The bytes of rank `root` to all. */
    th_code (*share)(void *context, void *bytes, size_t size, int root, th_err *err);
} th_pack_team;

/* `progress` (may be NULL) is called a few times a second from the calling thread. The report is
 * set on rank 0.
 * Errors: TH_EUSAGE (options; `to` is a pack, holds other files, was begun with another command, or
 * another process packs into it; nothing fell to val), TH_EDATA (nothing could be packed), TH_EIO.
 * With a team: Collective. One call at a time per folder. */
TH_MUST_CHECK th_code th_pack_build_together(const th_pack_options *options,
                                             const th_pack_team    *team,
                                             void (*progress)(void                   *context,
                                                              const th_pack_progress *now),
                                             void *context, th_pack_report *out, th_err *err);
/* Alone. */
TH_MUST_CHECK th_code th_pack_build(const th_pack_options *options,
                                    void (*progress)(void *context, const th_pack_progress *now),
                                    void *context, th_pack_report *out, th_err *err);

#endif
