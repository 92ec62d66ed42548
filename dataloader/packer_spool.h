/* dataloader/packer_spool.h - records between the two passes of packing: a file without a name.
 *
 * It stands in the pack's folder, where the room is, and is gone with the process, however that
 * ends. One thread at a time. */
#ifndef TH_DATALOADER_PACKER_SPOOL_H
#define TH_DATALOADER_PACKER_SPOOL_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_SPOOL_NAME "spool.tmp" // for the moment between its making and its unlinking

typedef struct th_spool th_spool;

/* Errors of all: TH_EIO (disk full among them). */
TH_MUST_CHECK th_code th_spool_open(const char *folder, th_spool **out, th_err *err);
void                  th_spool_close(th_spool *spool); // accepts NULL

TH_MUST_CHECK th_code th_spool_add(th_spool *spool, const void *bytes, size_t size, th_err *err);
/* Ends the adding, and begins reading at the first record; may be called again and again. */
TH_MUST_CHECK th_code th_spool_rewind(th_spool *spool, th_err *err);
/* Reads the next record into *buffer, which grows by realloc and is the caller's. */
TH_MUST_CHECK th_code th_spool_next(th_spool *spool, void **buffer, size_t *room, size_t *out_size,
                                    bool *out_more, th_err *err);
int64_t               th_spool_bytes(const th_spool *spool); // added so far

#endif
