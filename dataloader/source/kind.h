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
    void (*enter)(th_source *source, int64_t piece); // NULL: one piece
    int64_t              pieces;                     // 0: one
    bool                 skim;                       // pictures are passed by
    atomic_int_least64_t done_bytes;
    int64_t              total_bytes;
};

/* `path` is the spec without its kind; `options` is never NULL, and holds none that source.c does
 * not list for that kind. */
typedef th_code  th_source_opener(const char *path, const th_source_options *options,
                                  th_source **out, th_err *err);
th_source_opener th_webdataset_open, th_csv_open, th_picture_folder_open, th_img2dataset_open,
    th_coco_open, th_karpathy_open, th_flickr_open, th_metadata_open, th_cn_clip_open, th_idx_open;

/* Starts an item: source and key copied; a key that does not fit becomes its first bytes and a
 * reason. */
void th_item_start(th_item *item, const char *source, const char *key);

/* True when a part of the path is "..", or when it starts at the root and that is not wanted. */
bool th_path_escapes(const char *path, bool absolute_is_fine);

/* "jpg", "jpeg", "png" or "webp", in any case. */
bool th_is_picture_ending(const char *ending);

/* Reads the picture's file, folder/name, or name alone when it starts at the root. What is wrong
 * with it, unsafe names included, becomes the item's reason; `where` is for that: "line 7".
 * Errors: TH_EIO, out of memory. */
TH_MUST_CHECK th_code th_item_read_picture(th_item *item, const char *folder, const char *name,
                                           bool absolute_is_fine, const char *where, th_err *err);

/* The folder that the file or folder at `path` stands in, free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_folder_of(const char *path, char **out, th_err *err);

/* The files that a pattern names: shell globs, braces {a,b} and ranges of numbers {000..127}, in
 * name order, each once; a name without wildcards is there even when its file is not. "::" joins
 * patterns: the files of the first, then of the next. Give back with th_paths_free. Errors:
 * TH_EUSAGE when a pattern finds no file, TH_EIO. */
TH_MUST_CHECK th_code th_paths_match(const char *pattern, char ***out, size_t *out_count,
                                     th_err *err);
void                  th_paths_free(char **paths, size_t count);

#endif
