/* dataloader/tokenizer/repair.h - what ftfy.fix_text() does for open_clip, but for mojibake.
 *
 * Repeated until nothing changes: HTML entities that are sure ones (up to the first line that holds
 * a "<"), C1 controls as Windows-1252 has them, Latin ligatures, wide and narrow forms, curly
 * quotes, terminal escapes, control characters; then NFC. Text that was once decoded in the wrong
 * encoding stays as it is: ftfy guesses there, from what is likely (docs/tokenizers.md counts how
 * often). Speer 2019, ftfy 6, is the reference.
 *
 * A caption that needs none of it is told by the bits TH_REPAIRED, TH_NFC_* (characters.h) and by
 * having no "&"; nearly all are. Linear in size. Local, any thread. */
#ifndef TH_DATALOADER_TOKENIZER_REPAIR_H
#define TH_DATALOADER_TOKENIZER_REPAIR_H

#include "dataloader/tokenizer/grow.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { // starts zeroed; th_repair_room_done() gives it back
    th_scratch bytes[3], codes[3];
    char      *text; // what has been repaired
    size_t     used, room;
} th_repair_room;

void th_repair_room_done(th_repair_room *room);

/* Repairs a text of any bytes into room->text; false when memory is out. */
bool th_text_repair(const char *text, size_t size, th_repair_room *room);

/* What a character with TH_REPAIRED becomes when that is one other character, whatever stands
 * around it: quotes and wide ASCII. 0 for those that need th_text_repair(). */
uint32_t th_repair_simply(uint32_t code);

#endif
