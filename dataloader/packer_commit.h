/* dataloader/packer_commit.h - finished units become packs: dataset.json, tokenizer, quarantine. */
#ifndef TH_DATALOADER_PACKER_COMMIT_H
#define TH_DATALOADER_PACKER_COMMIT_H

#include "dataloader/packer_unit.h"

/* Reads the records of all units, publishes quarantine.jsonl and the tokenizer, and then the
 * dataset.json of each part, the train pack's last. The tally (zeroed before) and the bytes of all
 * shards are the caller's for the report. When nothing could be packed, or nothing fell to val,
 * quarantine.jsonl is all that is published. Errors: TH_EDATA (nothing could be packed), TH_EUSAGE
 * (nothing fell to val), TH_EIO. */
TH_MUST_CHECK th_code th_packs_commit(const th_new_folder *folders, int units,
                                      const th_pack_options *options, const th_tokenizer *tokenizer,
                                      th_tally *tally, int64_t *out_bytes, int64_t *out_shards,
                                      th_err *err);

/* The tokenizer's file into a folder. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_pack_write_tokenizer(const th_new_folder *folder,
                                              const th_tokenizer *tokenizer, th_err *err);

#endif
