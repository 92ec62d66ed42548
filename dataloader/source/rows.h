/* dataloader/source/rows.h - lists of pictures with captions: rows that name a picture's file.
 *
 * A kind reads its rows; here rows of one picture that follow each other become one sample with
 * their captions, and pictures are read from disk. A refused row is an item of its own and ends no
 * sample. A kind's struct begins with th_rows. */
#ifndef TH_DATALOADER_SOURCE_ROWS_H
#define TH_DATALOADER_SOURCE_ROWS_H

#include "dataloader/source/kind.h"

typedef struct th_rows th_rows;
struct th_rows {
    th_source head;
    // The next row: `out` started with the picture's name as its key, its captions in text, or a
    // reason; `where` is its place for messages ("line 7"). *out_more is false at the end, and out
    // then untouched.
    th_code (*read_row)(th_rows *rows, th_item *out, char where[48], bool *out_more, th_err *err);
    void (*close_rows)(th_rows *rows); // what the kind holds, and the struct itself
    char   *path, *folder;             // of the list; where its pictures' names start
    bool    absolute_is_fine;          // names that start at the root are read
    th_item row, sample;               // at hand, when `has_row`; collected, when `collecting`
    char    where[48], sample_where[48];
    bool    has_row, collecting;
};

/* Copies the path; the pictures' folder is options->images, or else the folder of the path. Errors:
 * TH_EIO. */
TH_MUST_CHECK th_code th_rows_init(th_rows *rows, const char *path,
                                   const th_source_options *options, th_err *err);

/* Unless options->images names it: finds the pictures' folder by the first pictures' names. It is
 * the list's folder, the one above, or one in these of the name `own`, images, Images,
 * flickr30k-images or flickr30k_images. Errors: TH_EUSAGE when none of the pictures is there,
 * TH_EIO.
 */
TH_MUST_CHECK th_code th_rows_find_folder(th_rows *rows, const th_source_options *options,
                                          const char *own, const char *const *names, int count,
                                          th_err *err);

#endif
