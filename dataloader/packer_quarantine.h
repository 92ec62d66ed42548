/* dataloader/packer_quarantine.h - quarantine.jsonl: every refused input, one JSON object a line,
 * and how often each kind of reason came. One thread at a time. */
#ifndef TH_DATALOADER_PACKER_QUARANTINE_H
#define TH_DATALOADER_PACKER_QUARANTINE_H

#include "dataloader/packer.h"
#include "dataloader/source/source.h"
#include <limits.h>
#include <stdio.h>

typedef struct {
    FILE *file;
    char  path[PATH_MAX], tmp[PATH_MAX];
} th_quarantine;

/* Writes "<folder>/quarantine.jsonl.tmp". Errors of all: TH_EIO. */
TH_MUST_CHECK th_code th_quarantine_open(th_quarantine *quarantine, const char *folder,
                                         th_err *err);
void                  th_quarantine_close(th_quarantine *quarantine); // accepts a zeroed one

/* Adds a line; the kind of the reason, what stands before its colon, is counted in the report. Text
 * that is not UTF-8 is written with \xNN in place of the bytes that are not. */
TH_MUST_CHECK th_code th_quarantine_add(th_quarantine *quarantine, const th_item *item,
                                        th_pack_report *report, th_err *err);

/* Publishes the file and sorts the report's reasons, most first. */
TH_MUST_CHECK th_code th_quarantine_commit(th_quarantine *quarantine, th_pack_report *report,
                                           th_err *err);

#endif
