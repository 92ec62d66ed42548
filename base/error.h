/* base/error.h - errors that say what failed, why, while doing what, and how to fix it.
 *
 * A function that can fail returns th_code and fills the caller's th_err on failure only. Results
 * are written on success only. launch/ alone prints an error; its exit code is th_exit_code().
 *
 * The macros expect the names `rc` (th_code), `err` (th_err *) and a label `out` in the function.
 */
#ifndef TH_BASE_ERROR_H
#define TH_BASE_ERROR_H

#define TH_MUST_CHECK          __attribute__((warn_unused_result))
#define TH_PRINTF(text, first) __attribute__((format(printf, text, first)))

typedef enum {
    TH_OK = 0,
    TH_EUSAGE, // the request is wrong: fix the command or the run file (exit 2)
    TH_EDATA,  // the data is wrong: a pack, a checkpoint, an image (exit 65)
    TH_EIO,    // the system said no: disk full, no such file, no memory (exit 74)
    TH_EPEER,  // another rank failed: read its error (exit 1)
    TH_EFAIL,  // the run itself failed: ten steps in a row that are not finite (exit 1)
    TH_ESTOP,  // not a failure: stopped in order, run the same command again (exit 85)
} th_code;

typedef struct {
    th_code     code;       // TH_OK until something failed
    char        what[256];  // what failed and why, with the values; lower case, no full stop
    char        fix[160];   // what the reader can do about it
    char        trail[256]; // what we were doing, innermost first; callers append
    const char *file;       // where it began
    int         line;
} th_err;

/* Starts an error: fills *err (which may be NULL) and returns `code`. Any thread. */
th_code th_fail(th_err *err, th_code code, const char *fix, const char *file, int line,
                const char *what, ...) TH_PRINTF(6, 7);

/* Appends "while <...>" to the trail of an error and returns its code. What does not fit is cut. */
th_code th_during(th_err *err, const char *doing, ...) TH_PRINTF(2, 3);

/* The process exit code for an error code: 0, 1, 2, 65, 74 or 85. */
int th_exit_code(th_code code);

/* The name of a code, for logs: "TH_EDATA". Never NULL. */
const char *th_code_name(th_code code);

#define TH_FAIL(code, fix, ...)                                                                    \
    do {                                                                                           \
        rc = th_fail(err, (code), (fix), __FILE__, __LINE__, __VA_ARGS__);                         \
        goto out;                                                                                  \
    } while (0)

#define TH_CHECK(condition, code, fix, ...)                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            TH_FAIL(code, fix, __VA_ARGS__);                                                       \
    } while (0)

#define TH_TRY(call)                                                                               \
    do {                                                                                           \
        rc = (call);                                                                               \
        if (rc != TH_OK)                                                                           \
            goto out;                                                                              \
    } while (0)

#endif
