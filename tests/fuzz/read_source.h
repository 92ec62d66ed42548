/* tests/fuzz/read_source.h - a source of pictures and captions, read to its end: each sample is
 * whole or has a reason. */
#ifndef TH_TESTS_FUZZ_READ_SOURCE_H
#define TH_TESTS_FUZZ_READ_SOURCE_H

#include "dataloader/source/source.h"
#include "tests/fuzz/fuzz.h"

/* A refusal to open it must be an error with a fix; `options` may be NULL. */
void th_fuzz_read_source(const char *spec, const th_source_options *options);

/* The source `kind` of the first of these files, th_fuzz_folder's. Beside them stands a picture
 * 1.jpg, so that lists find one. */
void th_fuzz_read_list(const char *kind, const char *const *names, int count,
                       const th_source_options *options, const uint8_t *bytes, size_t size);

#endif
