/* base/option_parse.h - from text to one value: what base/option.c and its tables stand on. */
#ifndef TH_BASE_OPTION_PARSE_H
#define TH_BASE_OPTION_PARSE_H

#include "base/option.h"

/* Parses text as row->kind, checks range and choices, and writes *field (of the row's C type).
 * `name` is the full name as the user wrote it; for a TH_MAP what follows the row's prefix is the
 * key. Texts and keys are copied to pool; a NULL pool only borrows them, which is for checking a
 * table. Errors: TH_EUSAGE; TH_EIO when the pool is full. Local, any thread. */
TH_MUST_CHECK th_code th_option_parse(const th_option *row, const char *name, const char *text,
                                      th_arena *pool, void *field, th_err *err);

#endif
