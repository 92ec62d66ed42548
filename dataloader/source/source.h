/* dataloader/source/source.h - where samples come from: a stream of pictures with captions.
 *
 * A source hands out what it finds, damaged or not; the packer judges. It never holds more than one
 * sample, refuses members over a limit before reading them, and reports what it could not give as
 * an item with a reason (to be quarantined), so that nothing disappears without a word. */
#ifndef TH_DATALOADER_SOURCE_SOURCE_H
#define TH_DATALOADER_SOURCE_SOURCE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define TH_SOURCE_IMAGE_BYTES (64 << 20) // largest encoded picture
#define TH_SOURCE_TEXT_BYTES  (8 << 20)  // largest text member

typedef struct {
    char   source[512]; // file it came from: a tar, a csv
    char   key[256];    // WebDataset key or row's filepath
    void  *image;       // encoded bytes, owned by the item
    size_t image_bytes;
    char *text; // captions, one a line; owned by the item; bytes as found, not yet checked as UTF-8
    size_t text_bytes;
    char   reason[200]; // not "": this sample cannot be given, and why: "what it is: details"
} th_item;

void th_item_free(th_item *item); // accepts a zeroed item

/* Sets the reason, written as "<what it is>: <details>", unless there is one already. The packer
 * counts reasons by what stands before the colon. */
void th_item_refuse(th_item *item, const char *format, ...) TH_PRINTF(2, 3);

typedef struct th_source th_source;

/* What a spec alone does not say. NULL: the default of the kind. A kind refuses those that mean
 * nothing to it. */
typedef struct {
    const char *captions;    // where captions stand: "txt", or "json:MEMBER"
    const char *images;      // folder of the pictures, when it is not beside the file
    const char *split;       // of Karpathy's files: "test", or several, "train,restval"
    const char *img_key;     // name of a table's column of pictures
    const char *caption_key; // name of a table's column, or of a row's member, with captions
    const char *separator;   // between the fields of a table: one byte, or "tab"
    const char *classes;     // JSON of the classes' names and templates (dataloader/class_list.h)
} th_source_options;

/* Spec: a kind, a colon, and a path, or for tars a pattern (source.c lists the kinds; each file of
 * this folder tells what it reads). `options` may be NULL. Errors: TH_EUSAGE (unknown kind, nothing
 * matches, no such column, an option of other kinds), TH_EDATA (a list that is no JSON, or too
 * large), TH_EIO. */
TH_MUST_CHECK th_code th_source_open_with(const char *spec, const th_source_options *options,
                                          th_source **out, th_err *err);
TH_MUST_CHECK th_code th_source_open(const char *spec, th_source **out, th_err *err);
void                  th_source_close(th_source *source);

/* The next sample. *out_more is false at the end. Errors: only what makes going on senseless:
 * TH_EIO; a damaged tar is an item with a reason, and the next file goes on. One thread at a time.
 */
TH_MUST_CHECK th_code th_source_next(th_source *source, th_item *out, _Bool *out_more, th_err *err);

/* Skimming: the samples come without their pictures, which are not read; image_bytes is the size
 * where it is known at no cost, else 0. For captions, for counting, and for passing by: there are
 * as many items as when reading, in the same order; what is wrong with a picture goes unnoticed. */
void th_source_skim(th_source *source, _Bool on);

/* The pieces that can be read on their own: tars. Any other source is one piece. */
int64_t th_source_pieces(const th_source *source);

/* Goes to the beginning of a piece; what comes then, until the end, are its samples alone. A source
 * of one piece can be entered before its first sample only. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_source_enter(th_source *source, int64_t piece, th_err *err);

/* How much was read so far and in all, for progress: bytes, or pictures of a list; zeros when
 * nobody can know. Any thread. */
void th_source_progress(const th_source *source, int64_t *out_done, int64_t *out_total);

#endif
