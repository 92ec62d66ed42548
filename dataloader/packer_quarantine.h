/* dataloader/packer_quarantine.h - a line of quarantine.jsonl: one refused input, as JSON. */
#ifndef TH_DATALOADER_PACKER_QUARANTINE_H
#define TH_DATALOADER_PACKER_QUARANTINE_H

#include "dataloader/source/source.h"
#include <stdio.h>

/* {"source", "key", "reason"} and a line feed. Text that is not UTF-8 is written with \xNN in place
 * of the bytes that are not. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_quarantine_print(const th_item *item, FILE *to, th_err *err);

#endif
