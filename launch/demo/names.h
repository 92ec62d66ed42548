/* launch/demo/names.h - what a language calls the emoji: CLDR's annotations, read with expat.
 *
 *     <annotation cp="X" type="tts">the name</annotation>
 *     <annotation cp="X">keyword | another keyword</annotation>
 *
 * Only single code points are kept; annotationsDerived is made of sequences and is not read. */
#ifndef TH_LAUNCH_DEMO_NAMES_H
#define TH_LAUNCH_DEMO_NAMES_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t code;
    char    *name;     // NULL: none
    char    *keywords; // "a | b | c", NULL: none
} th_annotation;

typedef struct {
    th_annotation *rows; // [count], by code point, one each
    size_t         count;
} th_names;

/* Reads <folder>/<language>.xml. Errors: TH_EIO; TH_EDATA naming the line. */
TH_MUST_CHECK th_code th_names_read(const char *folder, const char *language, th_names *names,
                                    th_err *err);
void                  th_names_close(th_names *names); // accepts a zeroed one

/* The row of a code point, or NULL. */
const th_annotation *th_names_find(const th_names *names, uint32_t code);

#endif
