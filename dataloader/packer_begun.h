/* dataloader/packer_begun.h - unfinished.txt: what a pack was begun with, "name: value" a line.
 *
 * It is there from before the first shard until the pack is committed and cleaned up. A packer that
 * finds it goes on only with the same command: all options but the number of threads and the
 * folder's own path, the same source and the same tokenizer. */
#ifndef TH_DATALOADER_PACKER_BEGUN_H
#define TH_DATALOADER_PACKER_BEGUN_H

#include "dataloader/packer_folder.h"
#include "dataloader/packer_survey.h"

/* The options' lines; behind them, when `survey` is given, those of source and tokenizer (NULL:
 * none, as there is no caption). free() *out. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_begun_print(const th_pack_options *options, const th_survey *survey,
                                     const th_tokenizer *tokenizer, char **out, th_err *err);

/* Compares the lines of `now` with the first ones of the folder's file. Errors: TH_EUSAGE naming
 * the first that differs, TH_EIO. */
TH_MUST_CHECK th_code th_begun_check(const th_new_folder *folder, const char *now, th_err *err);

/* Publishes, or removes. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_begun_write(const th_new_folder *folder, const char *text, th_err *err);
TH_MUST_CHECK th_code th_begun_remove(const th_new_folder *folder, th_err *err);

#endif
