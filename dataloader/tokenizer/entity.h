/* dataloader/tokenizer/entity.h - HTML entities in captions scraped from the web.
 *
 * Both functions replace entities once, from left to right (what one yields is not read again),
 * write to `out`, which has room for TH_UNESCAPED_ROOM(size) bytes, and return how many they wrote.
 * Linear in size. Local, any thread. */
#ifndef TH_DATALOADER_TOKENIZER_ENTITY_H
#define TH_DATALOADER_TOKENIZER_ENTITY_H

#include <stddef.h>

#define TH_UNESCAPED_ROOM(size) ((size) + (size) / 5) // "&nGt;" is the tightest: two of 3 bytes

/* As Python's html.unescape(): the 2,125 names of HTML 5, 106 of which need no semicolon, and
 * numbers, decimal and hexadecimal, with or without one; Windows-1252 for 0x80..0x9F, U+FFFD for
 * what is no character, nothing for controls. */
size_t th_entities_unescape(const char *text, size_t size, char *out);

/* Only what is meant for an entity without doubt, as ftfy sees it: with a semicolon; and also the
 * lower-case names written in capitals, which yield capitals (&EACUTE;). An ampersand swallows the
 * rest of "&amp;amp;amp;" at once, as repeating this to the end would. */
size_t th_entities_unescape_sure(const char *text, size_t size, char *out);

extern const char th_entity_names[]; // entity_names.c

#endif
