/* dataloader/packer_unit.h - one unit of a pack: in the making, and finished.
 *
 * A finished unit is up to two shards, one a part, and then its record, NAME-00007.unit in the
 * folder of the train part: a line of JSON that tells of the shards and the counts, and behind it
 * the unit's lines of quarantine.jsonl. The record is published last and once, so a unit is whole
 * or not there. The records go away when the pack is committed. */
#ifndef TH_DATALOADER_PACKER_UNIT_H
#define TH_DATALOADER_PACKER_UNIT_H

#include "dataloader/packer_folder.h"
#include "dataloader/packer_tally.h"
#include <stdio.h>

typedef struct {
    th_tally      tally;
    th_shard_info shards[TH_PARTS]; // of 0 records: there is no such shard
    char         *refused;          // lines of quarantine.jsonl
    size_t        refused_bytes;
} th_unit;

void th_unit_close(th_unit *unit); // accepts a zeroed one

typedef struct {
    const th_new_folder *folders; // [TH_PARTS], borrowed
    int                  number;
    int64_t              side; // of the pictures
    th_unit              unit;
    th_shard_writer     *writers[TH_PARTS];
    FILE                *lines; // writes unit.refused; NULL: no unit is begun
} th_unit_writer;

/* begin -> add, refuse -> commit or drop. After an error only drop is allowed, which accepts a
 * zeroed one. What a killed process left of the unit is overwritten. Errors of all: TH_EIO. */
TH_MUST_CHECK th_code th_unit_begin(th_unit_writer *writer, const th_new_folder *folders,
                                    int number, int64_t side, th_err *err);
TH_MUST_CHECK th_code th_unit_add(th_unit_writer *writer, th_part part,
                                  const th_made_sample *sample, th_err *err);
TH_MUST_CHECK th_code th_unit_refuse(th_unit_writer *writer, const th_item *item, th_err *err);
TH_MUST_CHECK th_code th_unit_commit(th_unit_writer *writer, th_err *err);
void                  th_unit_drop(th_unit_writer *writer);

/* Reads the record of a finished unit; *out_there is false when there is none, or one of its shards
 * is not there or has another size. Errors: TH_EDATA when it is not such a record, TH_EIO. */
TH_MUST_CHECK th_code th_unit_read(const th_new_folder *folders, int number, th_unit *out,
                                   bool *out_there, th_err *err);

/* Removes the record, if it is there. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_unit_forget(const th_new_folder *folders, int number, th_err *err);

#endif
