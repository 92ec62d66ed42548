/* tests/test.h - cmocka, and the few helpers that every test shares.
 *
 *     static void loss_is_zero(void **state) { ... th_assert_close(loss, 0.0, 1e-12); ... }
 *     static void reads_back(void **state)   { const char *folder = *state; ... }
 *
 *     cmocka_unit_test(loss_is_zero),
 *     cmocka_unit_test_setup_teardown(reads_back, th_test_folder_open, th_test_folder_close),
 */
#ifndef TH_TESTS_TEST_H
#define TH_TESTS_TEST_H

#include "base/error.h"
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#ifndef TH_TEST_BUILD
#define TH_TEST_BUILD "." // ctest starts a test in the build folder
#endif

/* Fails unless |got - want| <= tolerance. NaN is close to nothing, an infinity to itself. */
#define th_assert_close(got, want, tolerance)                                                      \
    th_test_close((got), (want), (tolerance), #got, __FILE__, __LINE__)

static inline void th_test_close(double got, double want, double tolerance, const char *text,
                                 const char *file, int line)
{
    if (got == want || fabs(got - want) <= tolerance)
        return;
    print_error("%s: got %.17g, want %.17g, off by %.3g, allowed %.3g\n", text, got, want,
                fabs(got - want), tolerance);
    _fail(file, line);
}

/* Fails with the whole error unless the code is TH_OK. */
#define th_assert_ok(code, err) th_test_ok((code), (err), #code, __FILE__, __LINE__)

static inline void th_test_ok(th_code code, const th_err *err, const char *text, const char *file,
                              int line)
{
    if (code == TH_OK)
        return;
    print_error("%s: %s: %s\n  while: %s\n  fix:   %s\n  at:    %s:%d\n", text, th_code_name(code),
                err->what, err->trail, err->fix, err->file ? err->file : "?", err->line);
    _fail(file, line);
}

/* Fails unless the code is `want` and, where words is not NULL, `what` holds them. Clears *err. */
#define th_assert_error(code, want, err, words)                                                    \
    th_test_error((code), (want), (err), (words), #code, __FILE__, __LINE__)

static inline void th_test_error(th_code code, th_code want, th_err *err, const char *words,
                                 const char *text, const char *file, int line)
{
    if (code != want || err->code != want || (words && !strstr(err->what, words))) {
        print_error("%s: got %s \"%s\", want %s with \"%s\"\n", text, th_code_name(code), err->what,
                    th_code_name(want), words ? words : "");
        _fail(file, line);
    }
    *err = (th_err){ 0 };
}

/* Setup: *state = the path of a new empty folder under the build folder. */
static inline int th_test_folder_open(void **state)
{
    static const char pattern[] = TH_TEST_BUILD "/test-XXXXXX";
    char             *path = malloc(sizeof pattern);

    if (!path)
        return -1;
    memcpy(path, pattern, sizeof pattern);
    *state = mkdtemp(path);
    return *state ? 0 : -1;
}

static inline int th_test_remove(const char *path, const struct stat *status, int kind,
                                 struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

/* Teardown: removes that folder with all it holds. */
static inline int th_test_folder_close(void **state)
{
    int result = nftw(*state, th_test_remove, 16, FTW_DEPTH | FTW_PHYS);

    free(*state);
    return result;
}

/* out = folder/name; fails when it does not fit. */
static inline void th_test_path(char *out, size_t size, const char *folder, const char *name)
{
    assert_true(snprintf(out, size, "%s/%s", folder, name) < (int)size);
}

#endif
