/* dataloader/source/kind.h - what each kind of source provides to source.c, and what they share. */
#ifndef TH_DATALOADER_SOURCE_KIND_H
#define TH_DATALOADER_SOURCE_KIND_H

#include "dataloader/source/source.h"
#include <stdatomic.h>
#include <stdbool.h>

/* The head of every kind's own struct. */
struct th_source {
    th_code (*next)(th_source *source, th_item *out, bool *out_more, th_err *err);
    void (*close)(th_source *source);
    atomic_int_least64_t done_bytes;
    int64_t              total_bytes;
};

/* `path` is the spec without its scheme. */
TH_MUST_CHECK th_code th_webdataset_open(const char *path, th_source **out, th_err *err);
TH_MUST_CHECK th_code th_csv_open(const char *path, th_source **out, th_err *err);

/* Starts an item: source and key copied; a key that does not fit becomes its first bytes and a
 * reason. */
void th_item_start(th_item *item, const char *source, const char *key);

/* True when a part of the path is "..", or when it starts at the root and that is not wanted. */
bool th_path_escapes(const char *path, bool absolute_is_fine);

/* The files that a pattern names: shell globs, braces {a,b} and ranges of numbers {000..127}, in
 * name order, each once; a name without wildcards is there even when its file is not. Give back
 * with th_paths_free. Errors: TH_EUSAGE when no such file exists, TH_EIO. */
TH_MUST_CHECK th_code th_paths_match(const char *pattern, char ***out, size_t *out_count,
                                     th_err *err);
void                  th_paths_free(char **paths, size_t count);

#endif
