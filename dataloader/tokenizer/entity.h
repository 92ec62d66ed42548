/* dataloader/tokenizer/entity.h - HTML entities in captions scraped from the web, as Python's
 * html.unescape() reads them.
 *
 * Numeric ones are complete: decimal and hexadecimal, with or without the semicolon, Windows-1252
 * for 0x80..0x9F, U+FFFD for what is no character, nothing for controls. Of the named ones the 252
 * of HTML 4 and the seven more that may stand without a semicolon are known; the other two thousand
 * of HTML 5
 * (&bigwedge;) are left as they stand. */
#ifndef TH_DATALOADER_TOKENIZER_ENTITY_H
#define TH_DATALOADER_TOKENIZER_ENTITY_H

#include <stddef.h>

/* Unescapes the entities of a text of any bytes in place, once, from left to right (what one yields
 * is not read again); returns the new size, never larger. Linear in size. Local, any thread. */
size_t th_entities_unescape(char *text, size_t size);

#endif
