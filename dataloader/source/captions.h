/* dataloader/source/captions.h - captions of an item: one a line, out of text or JSON. */
#ifndef TH_DATALOADER_SOURCE_CAPTIONS_H
#define TH_DATALOADER_SOURCE_CAPTIONS_H

#include "dataloader/source/source.h"
#include <jansson.h>
#include <stdbool.h>

/* Where the captions of a picture stand: a text, one a line, or a member of a JSON object. */
typedef struct {
    const char *ending; // of the file or tar member: "txt" or "json"
    const char *member; // NULL: the whole text
} th_caption_place;

/* "txt" (also for NULL) or "json:MEMBER", which is borrowed. Errors: TH_EUSAGE. */
TH_MUST_CHECK th_code th_caption_place_read(const char *spec, th_caption_place *out, th_err *err);

/* Adds one caption as a line; line ends within it become spaces. Beyond TH_SOURCE_TEXT_BYTES the
 * item is refused. Errors: TH_EIO, out of memory. */
TH_MUST_CHECK th_code th_item_add_caption(th_item *item, const char *text, size_t size,
                                          th_err *err);

/* Adds a JSON string, or a list of strings; anything else refuses the item. `where` is for the
 * reason: "member caption". Errors: TH_EIO. */
TH_MUST_CHECK th_code th_item_add_json(th_item *item, const json_t *value, const char *where,
                                       th_err *err);

/* Takes a text as found into an item that has none yet. The bytes are given. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_item_take_text(th_item *item, const th_caption_place *place, char *bytes,
                                        size_t size, th_err *err);

/* The place of the first byte that is not UTF-8, or a zero; -1 when there is none. */
ptrdiff_t th_find_invalid(const char *text, size_t size);

/* Without the spaces, tabs and carriage returns at both ends of a line. */
void th_trim_spaces(const char **text, size_t *size);

#endif
