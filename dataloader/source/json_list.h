/* dataloader/source/json_list.h - lists of pictures that are one JSON file, read as a whole.
 *
 * Memory is about six times the file: a list of the size of COCO's train captions, 118,287 images
 * with 591,753 captions in 101 MB, took 0.57 GB. */
#ifndef TH_DATALOADER_SOURCE_JSON_LIST_H
#define TH_DATALOADER_SOURCE_JSON_LIST_H

#include "dataloader/source/rows.h"
#include <jansson.h>

#define TH_JSON_LIST_BYTES (INT64_C(1) << 30) // largest file
#define TH_FIRST_NAMES     16                 // pictures that are looked for to find their folder

/* Reads the file; json_decref() *out. Errors: TH_EUSAGE (no such file), TH_EDATA (too large, no
 * JSON object, numbers beyond 64 bits among it), TH_EIO. */
TH_MUST_CHECK th_code th_json_list_load(const char *path, json_t **out, th_err *err);

/* *out is the object's member that is a list, borrowed. Errors: TH_EDATA. */
TH_MUST_CHECK th_code th_json_list_member(const char *path, const json_t *root, const char *name,
                                          const json_t **out, th_err *err);

#endif
