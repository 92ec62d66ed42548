/* tests/fuzz/fuzz.h - what the fuzz targets share.
 *
 * A target feeds bytes from nowhere to one door of the house, and aborts when what it is told about
 * them cannot be true. The sanitizers see the rest. By clang the target is a libFuzzer program; in
 * every other build replay.c feeds it the files of its corpus. docs/fuzzing.md. */
#ifndef TH_TESTS_FUZZ_FUZZ_H
#define TH_TESTS_FUZZ_FUZZ_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target: returns 0. One thread at a time. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Aborts with the claim that does not hold; a sanitizer or libFuzzer adds the stack and the input.
 */
#define th_fuzz_claim(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What a refusal must be: an error of bytes or of the machine, that says what and how to fix it. */
#define th_fuzz_refusal(rc, err)                                                                   \
    th_fuzz_claim(((rc) == TH_EDATA || (rc) == TH_EUSAGE || (rc) == TH_EIO) &&                     \
                  (err).code == (rc) && (err).what[0] && (err).fix[0])

/* The path of a file that holds these bytes until the next call: it stands in memory and has no
 * name beside that. */
const char *th_fuzz_file(const uint8_t *bytes, size_t size);
int         th_fuzz_file_fd(void); // of the same file, open for reading and writing

/* A folder with these files, for doors that look beside what they are given. The input is cut at
 * its bytes 0xFF, which no UTF-8 has, and each piece is a file; one that is empty or missing is not
 * there. Files that were put there by other means stay. The folder stands in memory where there is
 * /dev/shm, and goes away at the end, but not when the target aborts. A name may have one folder in
 * front. */
#define TH_FUZZ_CUT 0xFF
const char *th_fuzz_folder(const char *const *names, int count, const uint8_t *bytes, size_t size);

#endif
