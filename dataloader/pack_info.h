/* dataloader/pack_info.h - th_pack_info as the text of dataset.json, and back.
 *
 *     {"format": "thaw pack", "version": 1, "records": 2, "captions": 6,
 *      "image": {"size": 64, "margin": 0, "filter": "bicubic", "alpha": "white",
 *                "exif": "ignore", "codec": "raw",
 *                "normalization": "clip", "mean": [...], "deviation": [...]},
 *      "tokenizer": {"file": "tokenizer.bpe", "cleanup": "open_clip", "vocabulary": 8192,
 *                    "hash": "0123456789abcdef"},
 *      "shards": [{"file": "x-00000.lmdb", "records": 2, "bytes": 40960, "hash": "..."}]} */
#ifndef TH_DATALOADER_PACK_INFO_H
#define TH_DATALOADER_PACK_INFO_H

#include "dataloader/pack.h"

#define TH_PACK_INFO_BYTES ((size_t)64 << 20) // longest dataset.json

/* *out_text is free()d by the caller. Errors: TH_EIO when memory is out. */
TH_MUST_CHECK th_code th_pack_info_print(const th_pack_info *info, char **out_text,
                                         size_t *out_size, th_err *err);

/* Every field is checked: present, of its type, in range, sums that hold, file names that stay in
 * the folder. Errors: TH_EDATA naming the field, TH_EIO. *out is given back with th_pack_info_done.
 */
TH_MUST_CHECK th_code th_pack_info_parse(const char *text, size_t size, th_pack_info *out,
                                         th_err *err);
void                  th_pack_info_done(th_pack_info *info); // accepts a zeroed one

#endif
