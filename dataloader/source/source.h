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

/* spec: "wds:'data/{a,b}*.tar'", "wds:data/{000..127}.tar" (shell globs and braces, files in name
 * order, gzip allowed; samples grouped as WebDataset does: the key is the path up to the first dot
 * of the name, members jpg, jpeg, png, webp and txt, one caption a line), or "csv:FILE" (header;
 * TAB or comma; quotes as in RFC 4180; columns filepath and title; relative paths start at the
 * file's folder; rows of one filepath that follow each other are one sample with their captions).
 * Errors: TH_EUSAGE (unknown scheme, nothing matches, no such column), TH_EIO. */
TH_MUST_CHECK th_code th_source_open(const char *spec, th_source **out, th_err *err);
void                  th_source_close(th_source *source);

/* The next sample. *out_more is false at the end. Errors: only what makes going on senseless:
 * TH_EIO; a damaged tar is an item with a reason, and the next file goes on. One thread at a time.
 */
TH_MUST_CHECK th_code th_source_next(th_source *source, th_item *out, _Bool *out_more, th_err *err);

/* Bytes read so far and in all, for progress. Any thread. */
void th_source_progress(const th_source *source, int64_t *out_done, int64_t *out_total);

#endif
